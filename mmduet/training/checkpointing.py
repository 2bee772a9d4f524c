"""Checkpoints that are whole or not there, and what a run is, so that it goes on as what it was begun as.

A checkpoint is written aside, with a list of its files and their sizes, and renamed. One that does not agree with its
list, or has none, is not used.
"""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mmduet.data.annotations import Number
from mmduet.errors import AnnotationError, CheckpointError, DuetError
from mmduet.files import place_of, read_json, shown, validated
from mmduet.training.resuming import newest_sound

MANIFEST = "files.json"
STATE = "run.json"
ASIDE = ".checkpoint-being-written"
NAME = re.compile(r"checkpoint-(\d+)$")


def publish(aside: Path, final: Path) -> None:
    """Give a folder that is written its name, all of it on the disk first."""
    files = sorted(path for path in aside.rglob("*") if path.is_file())
    sizes = {path.relative_to(aside).as_posix(): path.stat().st_size for path in files}
    (aside / MANIFEST).write_text(json.dumps(sizes, indent=1))
    for path in [*files, aside / MANIFEST, aside]:
        _to_disk(path)
    if final.exists():  # torn, or it would not be written anew
        shutil.rmtree(final)
    aside.replace(final)
    _to_disk(final.parent)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def checkpoints(output: Path) -> list[Path]:
    """The folder's whole checkpoints, oldest first."""
    found = [(int(match[1]), path) for path in output.glob("checkpoint-*") if (match := NAME.match(path.name))]
    return [path for _, path in sorted(found) if _is_whole(path)]


def _is_whole(checkpoint: Path) -> bool:
    try:
        sizes = json.loads((checkpoint / MANIFEST).read_text())
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def keep_newest(output: Path, count: int) -> None:
    """Remove all whole checkpoints but the newest `count`."""
    for path in checkpoints(output)[:-count]:
        shutil.rmtree(path)


def step_of(checkpoint: Path) -> int:
    """Optimiser steps done at a checkpoint."""
    match = NAME.match(checkpoint.name)
    if match is None:
        raise CheckpointError(f"{checkpoint} is no checkpoint of a training run: its name would be checkpoint-STEPS.")
    return int(match[1])


def find_start(output: Path, identity: dict[str, Any], *, resume: bool) -> Path | None:
    """The checkpoint to go on from; None to begin.

    Raises DuetError when there are checkpoints that are not to be gone on from, or that another run left.
    """
    for aside in (output / ASIDE, *output.glob(".adapter-*")):  # of a run that was killed while it wrote
        shutil.rmtree(aside, ignore_errors=True)
    newest = newest_sound(checkpoints(output))
    if newest is None:
        return None
    if not resume:
        raise DuetError(
            f"{output} holds {newest.name} of an earlier run: go on from it with resume, give another output, or "
            "remove it."
        )
    begun = read_run(output).identity
    differing = [
        f"{place_of([name])} was {shown(begun.get(name))}, is {shown(identity.get(name))}"
        for name in sorted({*begun, *identity})
        if begun.get(name) != identity.get(name)
    ]
    if differing:
        raise DuetError(
            f"{output} was begun otherwise ({'; '.join(differing)}): go on with what it was, or give another output."
        )
    return newest


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
    output.mkdir(parents=True, exist_ok=True)
    aside = output / f".{os.getpid()}-{STATE}"
    aside.write_text(json.dumps({"identity": identity, "alignment": alignment}, indent=1), encoding="utf-8")
    aside.replace(output / STATE)
