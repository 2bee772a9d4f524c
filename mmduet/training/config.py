"""TrainingConfig: a training run as a YAML file, and the run itself, which `mmduet train` starts."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from accelerate import PartialState
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from mmduet.checkpoints import load_duet
from mmduet.checkpoints.presets import check_base
from mmduet.data.annotations import Name, Number, Whole
from mmduet.data.feature_cache import FeatureCache
from mmduet.data.kinds import KINDS, AnnotationKind
from mmduet.data.mixture import MixtureDataset
from mmduet.data.templates import read_templates
from mmduet.data.unreadable import UnreadableVideos
from mmduet.errors import DuetError
from mmduet.files import read_yaml
from mmduet.system.workers import end_with_launcher
from mmduet.training.recipe import Count, Recipe, explain
from mmduet.training.result import TrainingResult
from mmduet.training.run import train

CONFIGS = Path(__file__).parents[1] / "configs"
_NAME = TypeAdapter(Name)


def _checked_path(value: Any) -> Path:
    return Path(_NAME.validate_python(str(value) if isinstance(value, Path) else value))


File = Annotated[Path, BeforeValidator(_checked_path)]


class ModelPart(BaseModel):
    """The base model.

    Attributes:
        base: A preset without an adapter of its own, a folder or a hub id.
        dtype: The frozen weights' precision.
        attn_implementation: As in `load_duet`.
        decides: heads or words, of a Qwen2.5-VL; null for words. It starts with heads of its own, at random.
        frames_per_turn: Frames after each of which a model that decides in words answers.
        max_pixels: Maximum pixels of a frame, of a Qwen2.5-VL; null for the checkpoint's.
    """

    model_config = ConfigDict(extra="forbid")
    base: Name
    dtype: Literal["float32", "bfloat16"] = "float32"
    attn_implementation: Name | None = None
    decides: Literal["heads", "words"] | None = None
    frames_per_turn: Annotated[Count, Field(le=64)] | None = None
    max_pixels: Count | None = None


class DataPart(BaseModel):
    """The data.

    Attributes:
        train: The training mixture file.
        validation: The validation mixture file; null evaluates nothing.
        root: Where the mixtures' relative paths start; null for each mixture's own folder.
        train_videos: Use the first so many videos; null for all.
        validation_videos: Likewise.
        templates: A file with additional prompt templates.
        broken_videos: Stop at the first unreadable video, or skip up to broken_limit of them, which are listed in
            OUTPUT/broken_videos.json.
        broken_limit: Maximum videos to skip.
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
    """The feature cache.

    Attributes:
        folder: Where its files are.
        limit_gb: Maximum size in GB; null for as much as the disk has.
    """

    model_config = ConfigDict(extra="forbid")
    folder: File
    limit_gb: Annotated[Number, Field(gt=0)] | None = None


class TrainingConfig(BaseModel):
    """One run. Paths start from the working directory.

    Attributes:
        output: The run's folder.
        model: The base model.
        data: The data.
        features: The feature cache; null decodes the videos in every step.
        recipe: Everything else.
    """

    model_config = ConfigDict(extra="forbid")
    output: File
    model: ModelPart
    data: DataPart
    features: FeaturesPart | None = None
    recipe: Recipe


def find_config(name: str | Path) -> Path:
    """Find a config file, or one that ships, by its name.

    Raises:
        DuetError: Neither exists.
    """
    path, shipped = Path(name), CONFIGS / f"{name}.yaml"
    for file in (path, shipped):
        if os.path.isfile(file):
            return file
    known = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml") if not path.stem.startswith("accelerate")))
    raise DuetError(f"{name} is no file and no config that ships ({known}): give one of them.")


def read_config(name: str | Path, kinds: Mapping[str, AnnotationKind] = KINDS) -> TrainingConfig:
    """Read and check a config.

    Args:
        name: A file, or the name of a config that ships.
        kinds: The known annotation kinds.

    Raises:
        DuetError: The config is wrong. The message names the file, the field, and what is known or allowed there.
    """
    path = find_config(name)
    written = read_yaml(path)
    try:
        return TrainingConfig.model_validate(written, context={"kinds": kinds})
    except ValidationError as error:
        raise DuetError(f"{path}: {explain(error, TrainingConfig)}") from error


def run_config(config: TrainingConfig, kinds: Mapping[str, AnnotationKind] = KINDS) -> TrainingResult:
    """Train as a config says; resume the run from its newest sound checkpoint if there is one.

    Args:
        config: The run.
        kinds: The known annotation kinds.

    Raises:
        DuetError: As `load_duet`, `MixtureDataset` and `train` raise it.
    """
    import torch

    check_base(config.model.base)  # before any work; `train` checks it too late for that
    end_with_launcher()
    # without an accelerator, launched processes run on the CPU
    state, data = PartialState(cpu=not torch.accelerator.is_available()), config.data
    broken = UnreadableVideos(data.broken_videos, limit=data.broken_limit, report=config.output / "broken_videos.json")
    with state.main_process_first():  # it makes missing metadata
        train_set = _dataset(config, data.train, data.train_videos, broken, kinds)
        val_set = _dataset(config, data.validation, data.validation_videos, broken, kinds) if data.validation else None
    model, processor = load_duet(
        config.model.base, dtype=getattr(torch, config.model.dtype), device=state.device,
        attn_implementation=config.model.attn_implementation, decides=config.model.decides,
        max_pixels=config.model.max_pixels,
    )  # fmt: skip
    if config.model.frames_per_turn is not None:
        processor.set_frames_per_turn(config.model.frames_per_turn)
    kept = config.features
    features = FeatureCache(kept.folder, model, processor, limit_gb=kept.limit_gb) if kept else None
    return train(
        model, processor, train_set, val_set, features, output=config.output, base=config.model.base, resume=True,
        broken=broken, **config.recipe.model_dump(),
    )  # fmt: skip


def _dataset(
    config: TrainingConfig,
    path: Path,
    videos: int | None,
    broken: UnreadableVideos,
    kinds: Mapping[str, AnnotationKind],
) -> MixtureDataset:
    data = config.data
    templates = read_templates(data.templates, kinds) if data.templates else None
    return MixtureDataset(
        path,
        seed=config.recipe.seed,
        videos=videos,
        root=data.root,
        templates=templates,
        broken=broken,
        kinds=kinds,
    )
