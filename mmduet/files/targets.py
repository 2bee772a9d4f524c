"""Targets: whether an output file may be written, checked before any work is done."""

import errno
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from mmduet.errors import FileError
from mmduet.files.disk import make_folder, writing_only
from mmduet.files.folders import try_to_write
from mmduet.files.locks import forget_lock
from mmduet.files.messages import kind_of


def check_target(path: str | Path, *, ours: Callable[[Path], bool], inputs: Iterable[str | Path] = ()) -> None:
    """Refuse to write a file before any work is done for it. Makes its folder.

    Args:
        path: The file to write.
        ours: Whether a file that exists is of the kind that will be written.
        inputs: The files that the command reads.

    Raises:
        FileError: The target is a folder, an input, a file of another kind, or cannot be written.
    """
    with writing_only(path):
        path = Path(os.path.realpath(path))
        if os.path.exists(path) and not os.path.isfile(path):
            raise FileError(f"{path} is {kind_of(path)}: give the name of a file to write.")
        for read in inputs:
            if _is_same(path, Path(os.path.realpath(read))):
                raise FileError(f"{path} is an input of this command: give another output.")
        if os.path.isfile(path) and path.stat().st_size and not _is_ours(path, ours):
            raise FileError(f"{path} is a file of another kind and stays as it is: give another output.")
        make_folder(path.parent)
        with suppress(FileNotFoundError):
            path.stat()  # raises for a name that is too long, and for a loop of links
        if os.path.exists(path) and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        try_to_write(path)
        forget_lock(path)


def _is_ours(path: Path, ours: Callable[[Path], bool]) -> bool:
    try:
        return ours(path)
    except (ValueError, OSError, LookupError, TypeError, AttributeError):  # another shape; DuetError is a ValueError
        return False


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path == other or path.samefile(other)  # a hard link is another name of the same file
    except (OSError, ValueError):
        return False
