"""TrainingConfig: a training run in a YAML file, and the run itself; what `mmduet train` does."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from accelerate import PartialState
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from mmduet.checkpoints import load_duet
from mmduet.data.annotations import Name, Number, Whole
from mmduet.data.feature_cache import FeatureStore
from mmduet.data.mixture import MixtureDataset
from mmduet.data.templates import read_templates
from mmduet.data.unreadable import BrokenVideos
from mmduet.errors import DuetError
from mmduet.files import read_yaml
from mmduet.system.workers import end_with_launcher
from mmduet.training.recipe import Count, Recipe, explain
from mmduet.training.run import TrainingResult, train

CONFIGS = Path(__file__).parents[1] / "configs"
_NAME = TypeAdapter(Name)


def _checked_path(value: Any) -> Path:
    return Path(_NAME.validate_python(str(value) if isinstance(value, Path) else value))


File = Annotated[Path, BeforeValidator(_checked_path)]


class ModelPart(BaseModel):
    """base: a preset, folder or hub id. dtype: of the frozen weights. attn_implementation: as in `load_duet`."""

    model_config = ConfigDict(extra="forbid")
    base: Name
    dtype: Literal["float32", "bfloat16"] = "float32"
    attn_implementation: Name | None = None


class DataPart(BaseModel):
    """train, validation: mixture files; validation null: nothing is measured. root: what their relative paths start
    from, null for the mixture's own folder. train_videos, validation_videos: the first so many, null for all.
    templates: a file with more wordings. broken_videos: stop at one that cannot be used, or skip up to broken_limit
    of them, which are listed in OUTPUT/broken_videos.json.
    """

    model_config = ConfigDict(extra="forbid")
    train: File
    validation: File | None = None
    root: File | None = None
    train_videos: Count | None = None
    validation_videos: Count | None = None
    templates: File | None = None
    broken_videos: Literal["stop", "skip"] = "stop"
    broken_limit: Annotated[Whole, Field(ge=0)] = 0


class FeaturesPart(BaseModel):
    """folder: where vision features are kept. limit_gb: how large it may grow, null for what the disk has."""

    model_config = ConfigDict(extra="forbid")
    folder: File
    limit_gb: Annotated[Number, Field(gt=0)] | None = None


class TrainingConfig(BaseModel):
    """One run. output: its folder. features: null to decode the videos in every step. Paths are as seen from the
    working directory.
    """

    model_config = ConfigDict(extra="forbid")
    output: File
    model: ModelPart
    data: DataPart
    features: FeaturesPart | None = None
    recipe: Recipe


def find_config(name: str | Path) -> Path:
    """A file, or one of those that ship, by its name. Raises DuetError when there is neither."""
    path, shipped = Path(name), CONFIGS / f"{name}.yaml"
    for file in (path, shipped):
        if os.path.isfile(file):
            return file
    known = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml") if not path.stem.startswith("accelerate")))
    raise DuetError(f"{name} is no file and no config that ships ({known}): give one of them.")


def read_config(name: str | Path) -> TrainingConfig:
    """Read and check a config. Raises DuetError naming the file, the field and what is known or allowed there."""
    path = find_config(name)
    written = read_yaml(path)
    try:
        return TrainingConfig.model_validate(written)
    except ValidationError as error:
        raise DuetError(f"{path}: {explain(error, TrainingConfig)}") from error


def run_config(config: TrainingConfig) -> TrainingResult:
    """The run, gone on with from its newest sound checkpoint if it was begun. Raises DuetError as its parts do."""
    import torch

    end_with_launcher()
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
