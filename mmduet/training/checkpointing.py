"""Checkpoints, complete or not written at all, and the settings of a run, so that it is resumed with the same.

A checkpoint is written to a temporary folder, with a list of its files and their sizes, and renamed. A checkpoint that
does not match its list, or has none, is not used.
"""

import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from mmduet.data.annotations import Number, Whole
from mmduet.errors import AnnotationError, CheckpointError, DuetError, FileError
from mmduet.files import (
    MANIFEST,
    check_target,
    clean,
    is_complete,
    read_json,
    remove,
    validated,
    write_json,
)
from mmduet.system.identity import check_same_settings
from mmduet.training.resuming import is_sound_adapter, newest_sound, read_best, read_history

STATE = "run.json"
TEMPORARY = ".checkpoint-being-written"
NAME = re.compile(r"checkpoint-(\d+)$")
CHOICE = ("best_by", "validation_data")  # what a best adapter was chosen by
ADAPTER = "adapter"
PARTS = "texts, times, videos, frame_fps or max_num_frames"
DIGESTS = {  # what each is of, and what may have changed in it
    "training_data": ("training data", PARTS), "validation_data": ("validation data", PARTS),
    "weights": ("base weights", "the base's weights, config or vocabulary"),
}  # fmt: skip
LATER = {"best_by", "model", *DIGESTS}  # settings that earlier versions did not keep


def checkpoints(output: Path) -> list[Path]:
    """The folder's complete checkpoints, oldest first."""
    found = [(int(match[1]), path) for path in output.glob("checkpoint-*") if (match := NAME.match(path.name))]
    return [path for _, path in sorted(found) if is_complete(path)]


def keep_newest(output: Path, count: int) -> None:
    """Remove all complete checkpoints except the newest `count`."""
    for path in checkpoints(output)[:-count]:
        remove(path)


def step_of(checkpoint: Path) -> int:
    """Optimiser steps done at a checkpoint.

    Raises:
        CheckpointError: The folder's name is not that of a checkpoint.
    """
    match = NAME.match(checkpoint.name)
    if match is None:
        raise CheckpointError(f"{checkpoint} is no checkpoint of a training run: its name would be checkpoint-STEPS.")
    return int(match[1])


def find_start(output: Path, identity: dict[str, Any], *, resume: bool, processes: int = 1) -> Path | None:
    """Find the folder to resume from; None starts a new run.

    It is the newest sound checkpoint, or the adapter of a run that has ended after that checkpoint, or without any.

    Args:
        output: The run's folder.
        identity: The settings that a resumed run must keep. Its batch_size is that of all processes together. The
            CHOICE may change as long as no best adapter was chosen.
        resume: Whether an earlier run may be resumed.
        processes: Training processes. They may be more or fewer than those that began the run.

    Raises:
        DuetError: The folder holds checkpoints or an adapter, and `resume` is false or their run had other settings.
        FileError: The folder holds something that no training run wrote.
    """
    remove(output / TEMPORARY)  # of a run that was killed while it wrote
    clean(output)
    _check_ours(output)
    newest = newest_sound(checkpoints(output))
    adapter = output / ADAPTER
    if newest is None and not adapter.is_dir():
        return None
    if not resume:
        found = "the adapter" if newest is None else newest.name
        raise DuetError(
            f"{output} holds {found} of an earlier run: resume it with resume=True, give another output, or remove it."
        )
    begun = read_run(output)
    start = adapter if begun.ended(after=newest) and is_sound_adapter(adapter) else newest
    if begun.processes:  # as if by so many: each has kept its share
        as_begun = identity["batch_size"] // processes * begun.processes
        if begun.identity.get("batch_size") == as_begun:
            identity = identity | {"batch_size": as_begun}
    free = LATER - begun.identity.keys()
    differs = any(begun.identity.get(name) != identity.get(name) for name in CHOICE)
    if differs and start is not None and start != adapter and read_best(start) is None:
        free |= set(CHOICE)
    _check_same(output, *({name: run[name] for name in run.keys() - free} for run in (begun.identity, identity)))
    return start


def _check_same(output: Path, begun: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises DuetError where the settings of a run, or its data, have changed."""
    check_same_settings(output, *({name: run[name] for name in run.keys() - DIGESTS.keys()} for run in (begun, now)))
    for name, (what, parts) in DIGESTS.items():
        if begun.get(name) != now.get(name):
            raise DuetError(
                f"{output} was started with other {what}; since then {parts} have changed: resume with the earlier "
                f"{what}, give another output, or delete {output.name}."
            )


def _check_ours(output: Path) -> None:
    """Raises FileError when the folder holds, under a name that a run writes, something that no run wrote."""
    if os.path.lexists(output) and not output.is_dir():
        raise FileError(f"{output} is no folder: give another output.")
    names = [path for path in output.glob("checkpoint-*") if not (path / MANIFEST).is_file()]
    begun = output / STATE
    if not begun.is_file():
        names += [path for path in (output / ADAPTER, begun) if os.path.lexists(path)]
    else:
        check_target(begun, ours=lambda path: "identity" in read_json(path))
    if names:
        raise FileError(f"{output} holds {names[0].name}, which no training run wrote: give another output.")


class Run(BaseModel):
    """A run's file.

    Attributes:
        identity: The settings that a resumed run must keep.
        processes: How many processes began the run; None in files of older versions.
        alignment: Losses of the first stage.
        history: What a run that ended has logged, as `read_log` gives it.
        steps: Optimiser steps of the complete run; None in files of older versions.
    """

    identity: dict[str, Any]
    processes: Annotated[Whole, Field(ge=1)] | None = None
    alignment: list[Number]
    history: list[dict[str, Number]] = []
    steps: Annotated[Whole, Field(ge=1)] | None = None

    def ended(self, *, after: Path | None = None) -> bool:
        """Whether the run has done all its steps, and more than at a checkpoint."""
        done = self.history[-1].get("step", 0) if self.history else 0
        return done >= max(self.steps or 1, 1 if after is None else step_of(after) + 1)


def read_run(output: Path) -> Run:
    """Read the file of the run in a folder.

    Raises:
        CheckpointError: It is damaged.
    """
    path = output / STATE
    try:
        run: Run = validated(path, Run, read_json(path), place="field")
    except AnnotationError as error:
        raise CheckpointError(f"{error} Or give another output.") from error
    return run


def kept(output: Path) -> str:
    """Say what a stopped run can be resumed from, as the end of a sentence."""
    found = checkpoints(output)
    if not found:
        return f"no checkpoint is in {output} yet, so the same command begins again"
    return f"{found[-1].name} is kept in {output}, and the same command resumes from it"


def state_run(output: Path, run: Run) -> None:
    """Write the file of the run in a folder."""
    write_json(output / STATE, run.model_dump())


def read_log(output: str | Path) -> list[dict[str, float]]:
    """Read what the training run in a folder has logged, up to its end or its newest checkpoint.

    Returns:
        A row a log entry: step, and the figures logged there, such as lm_loss, video_loss and eval_informative_auc.

    Raises:
        CheckpointError: The folder holds no run, its file is damaged, or it has neither ended nor saved a checkpoint.
    """
    output = Path(output)
    history, newest = read_run(output).history, newest_sound(checkpoints(output))
    if newest is None and not history:
        raise CheckpointError(f"{output} holds no log: its run has neither ended nor saved a checkpoint yet.")
    if newest is None or (history and history[-1]["step"] >= step_of(newest)):
        return history
    return finite_rows(read_history(newest))


def finite_rows(history: Iterable[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The rows of a log with their finite numbers."""
    return [
        {name: value for name, value in row.items() if isinstance(value, int | float) and math.isfinite(value)}
        for row in history
    ]
