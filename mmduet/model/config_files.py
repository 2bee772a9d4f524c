"""A checkpoint's JSON files, read so that nothing in them runs code or asks for more memory than there is."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmduet.errors import AnnotationError, CheckpointError, DuetError
from mmduet.files import read_json, validated

POINTER = b"version https://git-lfs"
DEEPEST = 32  # levels of nesting
LARGEST = 2**31  # of a whole number: sizes, positions, token ids
MOST = 10_000  # of what a config counts, such as layers, heads and labels: transformers builds some of it in a loop
# what makes transformers load code, or change its own
REFUSED = {
    "auto_map": "names code of its own, which is never run here: give a checkpoint without it",
    "quantization_config": "has quantised weights, which are not read: give the checkpoint in 16 or 32 bits",
    "init_inputs": "gives a tokenizer's class arguments that may name any file: remove it",
    "fusion_config": "changes transformers' own layers: remove it",
    "distributed_config": "describes one machine's processes: remove it",
}
# how transformers computes is `load_duet`'s argument; a config could name code on a hub here
DROPPED = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")


def check_content(path: Path) -> None:
    """Raises CheckpointError for a file that is empty, or that Git LFS only left a pointer of."""
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
    """What one of a checkpoint's JSON files holds.

    Raises CheckpointError when it is missing, no JSON object, nested too deeply, or names code to run.
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
    """A checkpoint's config.json, as `read_settings`; its numbers are such as a model can have."""
    path = folder / "config.json"
    config = read_settings(path)
    for owner, key, value in list(_entries(config)):
        if key in DROPPED:
            owner.pop(key)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            _check_number(path, key, value)
    return config


def checked(path: Path, kind: Any, value: Any) -> Any:
    """A value read from a file as `kind`, a pydantic type. Raises CheckpointError naming file, field and value."""
    try:
        return validated(path, kind, value, place="field")
    except AnnotationError as error:
        raise CheckpointError(f"{str(error).removesuffix('.')}; correct it, or download the file again.") from error


@contextmanager
def understanding(path: Path) -> Iterator[None]:
    """Within, a library makes something of a file's content: whatever it raises is the file's fault.

    Raises CheckpointError that names the file and the library's reason.
    """
    try:
        yield
    except DuetError:
        raise
    except KeyError as error:
        raise CheckpointError(f"{path} lacks {error}: correct it, or download it again.") from error
    except Exception as error:  # there is no end to what libraries raise on a damaged file
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
    """(object, key, value) of every object in a JSON value; raises CheckpointError where it is nested too deeply."""
    todo: list[tuple[Any, int]] = [(settings, 0)]
    while todo:
        owner, depth = todo.pop()
        if depth > DEEPEST:
            raise CheckpointError(f"{path} is nested more than {DEEPEST} levels deep: download it again.")
        for key, value in owner.items() if isinstance(owner, dict) else (("", value) for value in owner):
            yield owner, key, value
            if isinstance(value, (dict, list)):
                todo.append((value, depth + 1))
