"""The newest sound checkpoint, from which a run resumes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from transformers import TrainerState

from mmduet.data.annotations import Number, Whole
from mmduet.errors import CheckpointError, DuetError
from mmduet.files import read_json, validated

WINDOW = "window.json"  # in a checkpoint: the sums since figures were last logged
PROGRESS = "trainer_state.json"


Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]


class Window(BaseModel):
    """Sums since figures were last logged.

    Attributes:
        parts: (sum, steps) of both losses.
        loss: The sum of the total loss.
        logged: The step at which figures were last logged.
    """

    parts: Annotated[list[Pair], Field(min_length=2, max_length=2)]
    loss: Number
    logged: Annotated[Whole, Field(ge=0)]


class _Callbacks(BaseModel):
    model_config = ConfigDict(extra="allow")
    TrainerControl: dict[str, Any]


class _Progress(BaseModel):
    """The part of Trainer's state that it resumes from."""

    global_step: Annotated[Whole, Field(ge=1)]
    epoch: Number
    log_history: list[dict[str, Annotated[float, Field(strict=True)]]]
    best_metric: Number | None
    best_model_checkpoint: None = None
    train_batch_size: Whole | None = None
    num_input_tokens_seen: Annotated[Whole, Field(ge=0)] = 0
    total_flos: Number = 0
    stateful_callbacks: _Callbacks


def read_window(checkpoint: Path) -> Window:
    """Read a checkpoint's sums.

    Raises:
        AnnotationError: The file is damaged.
    """
    path = checkpoint / WINDOW
    window: Window = validated(path, Window, read_json(path), place="field")
    return window


def read_history(checkpoint: Path) -> list[dict[str, float]]:
    """Read what was logged up to a checkpoint.

    Raises:
        AnnotationError: The file is damaged.
    """
    return _read_progress(checkpoint).log_history


def read_best(checkpoint: Path) -> float | None:
    """Read the best value so far of the metric that chooses the adapter; None if there is none yet.

    Raises:
        AnnotationError: The file is damaged.
    """
    return _read_progress(checkpoint).best_metric


def _read_progress(checkpoint: Path) -> _Progress:
    path = checkpoint / PROGRESS
    progress: _Progress = validated(path, _Progress, read_json(path), place="field")
    return progress


def newest_sound(checkpoints: list[Path]) -> Path | None:
    """The newest of these checkpoints whose files can be read; reports each one that cannot."""
    for checkpoint in reversed(checkpoints):
        try:
            check(checkpoint)
            return checkpoint
        except DuetError as error:
            print(f"{checkpoint} is damaged, so the previous one is used: {error}", file=sys.stderr)
    return None


def check(checkpoint: Path) -> None:
    """Read a checkpoint's small files, and the headers of its large ones.

    Raises:
        DuetError: A file is damaged; the message names it.
    """
    read_window(checkpoint)
    path = checkpoint / PROGRESS
    written = read_json(path)
    progress = validated(path, _Progress, written, place="field")
    if f"checkpoint-{progress.global_step}" != checkpoint.name:
        raise CheckpointError(f"{path} is of step {progress.global_step}: remove {checkpoint}.")
    if unknown := written.keys() - {field.name for field in fields(TrainerState)}:
        raise CheckpointError(f"{path} has an unknown field {min(unknown)!r}: remove {checkpoint}.")
    for name in ("optimizer.pt", "scheduler.pt"):
        if (checkpoint / name).is_file():
            with reading(checkpoint / name):
                torch.load(checkpoint / name, map_location="meta", weights_only=True)
    for path in checkpoint.glob("*.safetensors"):
        with reading(path), safe_open(path, "pt") as file:
            file.keys()


def is_sound_adapter(folder: Path) -> bool:
    """Whether the files of an adapter can be read."""
    try:
        read_json(folder / "adapter_config.json")
        with safe_open(folder / "adapter_model.safetensors", "pt") as file:
            return bool(file.keys())
    except (DuetError, OSError, SafetensorError):
        return False


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn every error of a block that loads a checkpoint, or a file of one, into CheckpointError."""
    try:
        yield
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise CheckpointError(
            f"{path} cannot be loaded ({reason}): remove the checkpoint, and the same command resumes from the "
            "previous one."
        ) from error
