"""TrainingConfig: a training run in a YAML file, and the run itself; what `mmduet train` does."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from accelerate import PartialState
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmduet.checkpoints import load_duet
from mmduet.data.broken import BrokenVideos
from mmduet.data.features import FeatureStore
from mmduet.data.mixture import MixtureDataset
from mmduet.data.templates import read_templates
from mmduet.errors import DuetError
from mmduet.training.recipe import Recipe, explain
from mmduet.training.run import TrainingResult, train

CONFIGS = Path(__file__).parents[1] / "configs"


class ModelPart(BaseModel):
    """base: a preset, folder or hub id. dtype: of the frozen weights. attn_implementation: as in `load_duet`."""

    model_config = ConfigDict(extra="forbid")
    base: str
    dtype: Literal["float32", "bfloat16"] = "float32"
    attn_implementation: str | None = None


class DataPart(BaseModel):
    """train, validation: mixture files; validation null: nothing is measured. root: what their relative paths start
    from, null for the mixture's own folder. train_videos, validation_videos: the first so many, null for all.
    templates: a file with more wordings. broken_videos: stop at one that cannot be used, or skip up to broken_limit
    of them, which are listed in OUTPUT/broken_videos.json.
    """

    model_config = ConfigDict(extra="forbid")
    train: Path
    validation: Path | None = None
    root: Path | None = None
    train_videos: Annotated[int, Field(ge=1)] | None = None
    validation_videos: Annotated[int, Field(ge=1)] | None = None
    templates: Path | None = None
    broken_videos: Literal["stop", "skip"] = "stop"
    broken_limit: int = Field(0, ge=0)


class FeaturesPart(BaseModel):
    """folder: where vision features are kept. limit_gb: how large it may grow, null for what the disk has."""

    model_config = ConfigDict(extra="forbid")
    folder: Path
    limit_gb: Annotated[float, Field(gt=0)] | None = None


class TrainingConfig(BaseModel):
    """One run. output: its folder. features: null to decode the videos in every step. Paths are as seen from the
    working directory.
    """

    model_config = ConfigDict(extra="forbid")
    output: Path
    model: ModelPart
    data: DataPart
    features: FeaturesPart | None = None
    recipe: Recipe


def find_config(name: str | Path) -> Path:
    """A file, or one of those that ship, by its name. Raises DuetError when there is neither."""
    path, shipped = Path(name), CONFIGS / f"{name}.yaml"
    if path.is_file():
        return path
    if shipped.is_file():
        return shipped
    known = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml") if not path.stem.startswith("accelerate")))
    raise DuetError(f"{name} is no file and no config that ships ({known}): give one of them.")


def read_config(name: str | Path) -> TrainingConfig:
    """Read and check a config. Raises DuetError naming the file, the field and what is known or allowed there."""
    path = find_config(name)
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DuetError(f"{path} is no readable YAML: {' '.join(str(error).split())}.") from error
    try:
        return TrainingConfig.model_validate(written)
    except ValidationError as error:
        raise DuetError(f"{path}: {explain(error, TrainingConfig)}") from error


def run_config(config: TrainingConfig) -> TrainingResult:
    """The run, gone on with from its newest whole checkpoint if it was begun. Raises DuetError as its parts do."""
    import torch

    # without an accelerator, processes that were launched are processes on the CPU
    state, data = PartialState(cpu=not torch.accelerator.is_available()), config.data
    broken = BrokenVideos(data.broken_videos, limit=data.broken_limit, report=config.output / "broken_videos.json")
    with state.main_process_first():  # it makes the metadata that is missing
        train_set = _dataset(config, data.train, data.train_videos, broken)
        val_set = _dataset(config, data.validation, data.validation_videos, broken) if data.validation else None
    model, processor = load_duet(
        config.model.base, dtype=getattr(torch, config.model.dtype), device=state.device,
        attn_implementation=config.model.attn_implementation,
    )  # fmt: skip
    kept = config.features
    features = FeatureStore(kept.folder, model, processor, limit_gb=kept.limit_gb) if kept else None
    return train(
        model, processor, train_set, val_set, features, output=config.output, base=config.model.base, resume=True,
        broken=broken, **config.recipe.model_dump(),
    )  # fmt: skip


def _dataset(config: TrainingConfig, path: Path, videos: int | None, broken: BrokenVideos) -> MixtureDataset:
    data = config.data
    templates = read_templates(data.templates) if data.templates else None
    return MixtureDataset(
        path, seed=config.recipe.seed, videos=videos, root=data.root, templates=templates, broken=broken
    )
