"""Atomic writing: a file is replaced completely or not at all."""

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmduet.files.disk import flush, make_folder, remove, writing, writing_only
from mmduet.files.temporary import temporary_name

if TYPE_CHECKING:
    import torch


@contextmanager
def replacing_files(paths: Iterable[str | Path]) -> Iterator[list[Path]]:
    """Give the block temporary files to write, which then replace `paths`.

    When the block ends without an exception, all temporary files are flushed and then renamed in the order given. An
    exception leaves the files as they were.

    Raises:
        FileError: A file cannot be written.
    """
    targets = [Path(os.path.realpath(path)) for path in paths]  # a link stays a link
    temporary = [temporary_name(target) for target in targets]
    try:
        modes = [_create(*pair) for pair in zip(temporary, targets, strict=True)]
        with writing(targets[0], temporary):
            yield temporary
        for new, target, mode in zip(temporary, targets, modes, strict=True):
            with writing_only(target):
                if stat.S_IMODE(new.stat().st_mode) != mode:
                    new.chmod(mode)  # some writers make files that nobody else can read
                flush(new)
        for new, target in zip(temporary, targets, strict=True):
            with writing_only(target):
                os.replace(new, target)
        for folder in {target.parent for target in targets}:
            with writing_only(folder):
                flush(folder)
    finally:
        for path in temporary:
            remove(path)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give the block a temporary file to write, which then replaces `path`, as `replacing_files` does.

    Raises:
        FileError: The file cannot be written.
    """
    with replacing_files([path]) as (temporary,):
        yield temporary


def write_files(contents: Mapping[Path, str | bytes]) -> None:
    """Write several files (texts as UTF-8): all are complete before the first is renamed, in the order given.

    Raises:
        FileError: A file cannot be written. All files are as they were.
    """
    if not contents:
        return
    with replacing_files(contents) as temporary:
        for new, (path, content) in zip(temporary, contents.items(), strict=True):
            with writing_only(path):
                new.write_bytes(content if isinstance(content, bytes) else content.encode())


def write_file(path: str | Path, content: str | bytes) -> None:
    """Write a text (as UTF-8) or bytes, completely or not at all. Raises FileError when that is not possible."""
    write_files({Path(path): content})


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as JSON, completely or not at all. Raises FileError when that is not possible."""
    write_file(path, json.dumps(value, indent=1))


def write_tensors(path: Path, tensors: dict[str, "torch.Tensor"], metadata: dict[str, str] | None = None) -> None:
    """Write safetensors, completely or not at all. Raises FileError when that is not possible."""
    from safetensors.torch import save_file

    with replacing(path) as temporary, scratch_folder(path.parent) as scratch:
        save_file(tensors, scratch / "tensors", metadata)  # it makes a temporary file of its own as well
        (scratch / "tensors").rename(temporary)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Give the block a temporary folder in `parent`, which is removed afterwards.

    A later process removes the folder when this one is killed.
    """
    make_folder(parent)
    folder = temporary_name(parent / "scratch")
    try:
        with writing_only(parent):
            folder.mkdir()
        yield folder
    finally:
        remove(folder)


def _create(temporary: Path, target: Path) -> int:
    """Create a temporary file; the mode that the target has, or will have."""
    with writing_only(target):
        make_folder(target.parent)
        temporary.touch()
        return stat.S_IMODE((target if target.is_file() else temporary).stat().st_mode)
