"""Checkpoints that are whole or not there, and what a run is, so that it goes on as what it was begun as.

A checkpoint is written aside, with a list of its files and their sizes, and renamed. One that does not agree with its
list, or has none, is not used.
"""

import os
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mmduet.data.annotations import Number
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
from mmduet.training.resuming import newest_sound

STATE = "run.json"
ASIDE = ".checkpoint-being-written"
NAME = re.compile(r"checkpoint-(\d+)$")


def checkpoints(output: Path) -> list[Path]:
    """The folder's whole checkpoints, oldest first."""
    found = [(int(match[1]), path) for path in output.glob("checkpoint-*") if (match := NAME.match(path.name))]
    return [path for _, path in sorted(found) if is_complete(path)]


def keep_newest(output: Path, count: int) -> None:
    """Remove all whole checkpoints but the newest `count`."""
    for path in checkpoints(output)[:-count]:
        remove(path)


def step_of(checkpoint: Path) -> int:
    """Optimiser steps done at a checkpoint."""
    match = NAME.match(checkpoint.name)
    if match is None:
        raise CheckpointError(f"{checkpoint} is no checkpoint of a training run: its name would be checkpoint-STEPS.")
    return int(match[1])


def find_start(output: Path, identity: dict[str, Any], *, resume: bool) -> Path | None:
    """The checkpoint to go on from; None to begin.

    Raises DuetError when there are checkpoints that are not to be gone on from, or that another run left, and
    FileError when the folder holds what no run of this package wrote.
    """
    remove(output / ASIDE)  # of a run that was killed while it wrote
    clean(output)
    _check_ours(output)
    newest = newest_sound(checkpoints(output))
    if newest is None:
        return None
    if not resume:
        raise DuetError(
            f"{output} holds {newest.name} of an earlier run: go on from it with resume, give another output, or "
            "remove it."
        )
    check_same_settings(output, read_run(output).identity, identity)
    return newest


def _check_ours(output: Path) -> None:
    """Raises FileError when the folder holds, under a name that a run writes, what no run of this package wrote."""
    if os.path.lexists(output) and not output.is_dir():
        raise FileError(f"{output} is no folder: give another output.")
    names = [path for path in output.glob("checkpoint-*") if not (path / MANIFEST).is_file()]
    begun = output / STATE
    if not begun.is_file():
        names += [path for path in (output / "adapter", begun) if os.path.lexists(path)]
    else:
        check_target(begun, ours=lambda path: "identity" in read_json(path))
    if names:
        raise FileError(f"{output} holds {names[0].name}, which no training run wrote: give another output.")


class Run(BaseModel):
    """What a run is. identity: what it must agree with to resume. alignment: losses of its first stage."""

    identity: dict[str, Any]
    alignment: list[Number]


def read_run(output: Path) -> Run:
    """What was stated about the run of a folder."""
    path = output / STATE
    try:
        return validated(path, Run, read_json(path), place="field")
    except AnnotationError as error:
        raise CheckpointError(f"{error} Give another output.") from error


def kept(output: Path) -> str:
    """What a run that was stopped left to resume from, as a sentence's end."""
    found = checkpoints(output)
    if not found:
        return f"no checkpoint is in {output} yet, so the same command begins again"
    return f"{found[-1].name} is kept in {output}, and the same command resumes from it"


def state_run(output: Path, identity: dict[str, Any], alignment: list[float]) -> None:
    """State what a run is: what it must agree with to go on, and the losses of its first stage."""
    write_json(output / STATE, {"identity": identity, "alignment": alignment})
