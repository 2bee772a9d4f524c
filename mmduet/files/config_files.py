"""A checkpoint's JSON files, checked: nothing in them runs code or takes more memory than exists."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmduet.errors import AnnotationError, CheckpointError, DuetError
from mmduet.files import read_json, validated

POINTER = b"version https://git-lfs"
DEEPEST = 32  # levels of nesting
LARGEST = 2**31  # largest integer: sizes, positions, token ids
MOST = 10_000  # layers, heads, labels: transformers builds some of them in a loop
# fields that make transformers load code, or change its own
REFUSED = {
    "auto_map": "names code of its own, which is never run here: give a checkpoint without it",
    "quantization_config": "has quantised weights, which are not read: give the checkpoint in 16 or 32 bits",
    "init_inputs": "gives a tokenizer's class arguments that may name any file: remove it",
    "fusion_config": "changes transformers' own layers: remove it",
    "distributed_config": "describes one machine's processes: remove it",
}
# an argument of `load_duet` decides these; in a config they could name code on a hub
DROPPED = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")


def check_content(path: Path) -> None:
    """Check that a file is not empty, and no Git LFS pointer.

    Raises:
        CheckpointError: It is one of these, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(POINTER))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): check it and its permissions.") from error
    if not start:
        raise CheckpointError(f"{path} is empty: download it again.")
    if start == POINTER:
        raise CheckpointError(
            f"{path} is not the file itself but a Git LFS pointer to it: run `git lfs pull` in its folder, or "
            "download the file."
        )


def read_settings(path: Path) -> dict[str, Any]:
    """Read one of a checkpoint's JSON files.

    Raises:
        CheckpointError: The file is missing, no JSON object, nested too deeply, or names code to run.
    """
    if not path.is_file():
        raise CheckpointError(f"{path.parent} has no {path.name}: give a checkpoint's folder.")
    check_content(path)
    try:
        settings = read_json(path)
    except AnnotationError as error:
        raise CheckpointError(f"{str(error).removesuffix('.')}; download the file again.") from error
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path} holds no JSON object ({{…}}): download the file again.")
    _check_keys(path, settings)
    return settings


def read_config(folder: Path) -> dict[str, Any]:
    """Read a checkpoint's config.json.

    Raises:
        CheckpointError: As `read_settings`, and where a number is larger than any model's.
    """
    path = folder / "config.json"
    config = read_settings(path)
    for owner, key, value in list(_entries(config)):
        if key in DROPPED:
            owner.pop(key)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            _check_number(path, key, value)
    return config


def checked(path: Path, kind: Any, value: Any) -> Any:
    """Validate a value that was read from a file as `kind`, a pydantic type.

    Raises:
        CheckpointError: It is not valid; the message names file, field and value.
    """
    try:
        return validated(path, kind, value, place="field")
    except AnnotationError as error:
        raise CheckpointError(f"{str(error).removesuffix('.')}; correct it, or download the file again.") from error


@contextmanager
def understanding(path: Path) -> Iterator[None]:
    """Turn any error that a library raises on a file's content into one about the file.

    Raises:
        CheckpointError: The library failed; the message names the file and the reason.
    """
    try:
        yield
    except DuetError:
        raise
    except KeyError as error:
        raise CheckpointError(f"{path} lacks {error}: correct it, or download it again.") from error
    except Exception as error:  # libraries raise all kinds of errors on a damaged file
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{path} is not understood ({reason}): correct it, or download it again.") from error


def _check_keys(path: Path, settings: dict[str, Any]) -> None:
    for _, key, value in _entries(settings, path):
        if value and key in REFUSED:
            raise CheckpointError(f"{path}: {key} {REFUSED[key]}.")


def _check_number(path: Path, key: str, value: float) -> None:
    most = MOST if key.startswith(("num_", "n_layer", "n_head")) or "layer" in key else LARGEST
    if not math.isfinite(value) or abs(value) > most:
        raise CheckpointError(f"{path}: {key} is {value}, which no model has: correct it, or download the file again.")


def _entries(settings: dict[str, Any], path: Path | None = None) -> Iterator[tuple[Any, str, Any]]:
    """Yield (object, key, value) of every object in a JSON value."""
    todo: list[tuple[Any, int]] = [(settings, 0)]
    while todo:
        owner, depth = todo.pop()
        if depth > DEEPEST:
            raise CheckpointError(f"{path} is nested more than {DEEPEST} levels deep: download it again.")
        for key, value in owner.items() if isinstance(owner, dict) else (("", value) for value in owner):
            yield owner, key, value
            if isinstance(value, (dict, list)):
                todo.append((value, depth + 1))
