"""The disk: elementary operations whose errors are FileErrors that say what to do."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmduet.errors import DuetError, FileError
from mmduet.files.messages import reason_of

_NO_FOLDER = "give a name that does not lead through a file"
_FIXES = {errno.ENAMETOOLONG: "give a shorter name", errno.EEXIST: _NO_FOLDER, errno.ENOTDIR: _NO_FOLDER}
_CHECK = "check the folder and its permissions, then run the same command again"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


def unwritable(path: str | Path, reason: Exception | str) -> FileError:
    """Make the error for a file that could not be written."""
    code = getattr(reason, "errno", None)
    full = code in _NO_ROOM or isinstance(reason, str)  # writers other than Python's give no code
    fix = f"free some space, or {_CHECK}" if full else _FIXES.get(code or 0, _CHECK)
    reason = reason_of(reason) if isinstance(reason, Exception) else reason
    kept = "; its earlier content is kept" if os.path.exists(path) else ""
    return FileError(f"{path} cannot be written ({reason}){kept}: {fix}.")


@contextmanager
def writing_only(path: str | Path) -> Iterator[None]:
    """Turn every OSError of a block that does nothing but write `path` into a FileError."""
    try:
        yield
    except DuetError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise unwritable(path, error) from error


@contextmanager
def writing(path: str | Path, temporary: Iterable[Path] = ()) -> Iterator[None]:
    """Turn failed writes of a block that does other things as well into FileErrors.

    The errors of Python's, torch's, safetensors' and FFmpeg's writers count as failed writes. Other errors pass.

    Args:
        path: What the error names.
        temporary: The files that the block writes.
    """
    try:
        yield
    except Exception as error:
        if (reason := _write_failure(error, temporary)) is None:
            raise
        raise unwritable(path, reason) from error


def _write_failure(error: Exception, temporary: Iterable[Path]) -> str | None:
    """Why a write failed; None when an exception says something else."""
    if getattr(error, "errno", None) in _NO_ROOM:
        return reason_of(error)
    if isinstance(error, OSError):
        name = str(error.filename or "")
        return reason_of(error) if any(name and name.startswith(str(path)) for path in temporary) else None
    text = str(error)
    if type(error).__name__ == "SafetensorError" and "I/O error" in text:
        return text.partition("I/O error: ")[2]
    if isinstance(error, RuntimeError) and ("inline_container" in text or "PytorchStreamWriter" in text):
        return "it could not be written completely"
    return None


def make_folder(path: Path) -> None:
    """Make a folder and its parents. Raises FileError when that is not possible."""
    with writing_only(path):
        path.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Remove a file or folder that this package wrote, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Make the disk store a file, or a folder's list of names, where the file system can do that."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
