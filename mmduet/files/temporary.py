"""Temporary files: names that carry this machine and process, and the removal of what killed processes left."""

import hashlib
import itertools
import os
import platform
import re
from contextlib import suppress
from pathlib import Path, PurePosixPath

import psutil

from mmduet.files.disk import remove


def _machine() -> str:
    """Where a process number means one process: this machine, and its container."""
    try:
        processes = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        processes = 0
    return hashlib.sha256(f"{platform.node()} {processes}".encode()).hexdigest()[:8]


_PREFIX = ".mmduet-"
_MACHINE = _machine()
_NAME = re.compile(rf"{re.escape(_PREFIX)}{_MACHINE}-(\d+)-\d+\.part(?:\.was-(.+)|.*)")
_count = itertools.count()
ADDED = 45  # bytes that a temporary name adds to the name of a folder
_cleaned: set[Path] = set()


def is_temporary(path: str | PurePosixPath | Path) -> bool:
    """Whether a name is that of a temporary file, of this machine or another."""
    return PurePosixPath(path).name.startswith(_PREFIX)


def temporary_name(path: Path, *, was: str = "") -> Path:
    """Make a hidden name of this process in the folder of `path`.

    Args:
        path: The target. Its suffix is kept, for writers that look at it.
        was: The name of a folder that is moved to the temporary name. `clean` gives the name back.
    """
    clean(path.parent)
    end = f".was-{was}" if was else path.suffix[:16]
    return path.with_name(f"{_PREFIX}{_MACHINE}-{os.getpid()}-{next(_count)}.part{end}")


def clean(folder: Path, *, again: bool = False) -> None:
    """Remove what ended processes of this machine left in a folder. A process looks once, or `again`."""
    if (folder in _cleaned and not again) or not os.path.isdir(folder):
        return
    _cleaned.add(folder)
    for path in folder.glob(f"{_PREFIX}{_MACHINE}-*.part*"):
        match = _NAME.fullmatch(path.name)
        if match and _is_abandoned(path, int(match[1])):
            if match[2] and not (folder / match[2]).exists():  # the process ended between two renames
                with suppress(OSError):  # another process did it
                    path.replace(folder / match[2])
            remove(path)


def _is_abandoned(path: Path, process: int) -> bool:
    """Whether the process of a temporary file has ended, or is younger than the file."""
    try:
        owner = psutil.Process(process)
        return bool(owner.status() == psutil.STATUS_ZOMBIE or path.lstat().st_mtime < owner.create_time() - 60)
    except psutil.NoSuchProcess:
        return True
    except (psutil.AccessDenied, OSError):
        return False
