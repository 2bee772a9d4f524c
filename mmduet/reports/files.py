"""Whole files: written beside their place, then renamed; until then the old file stays."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from mmduet.errors import SuiteError


def write_whole(texts: Mapping[Path, str]) -> None:
    """Write all of `texts` (path -> UTF-8 text), or none: every file is complete before the first is renamed.

    Raises SuiteError, with the files that stood there kept, if one cannot be written.
    """
    staged = {path: staging_path(path) for path in texts}
    target = Path()
    try:
        for target, text in texts.items():
            _write(staged[target], text)
        for target, temporary in staged.items():
            os.replace(temporary, target)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def staging_path(path: Path) -> Path:
    """The hidden name beside `path` under which this process prepares it."""
    return path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")


def make_folder(path: Path) -> None:
    """Create the folder `path` and its parents; SuiteError if that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> SuiteError:
    """The sentence for a file that could not be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    fix = "free some space" if full else "check the folder and its permissions"
    return SuiteError(
        f"{path} could not be written ({error.strerror or error}), so what stood there is kept: "
        f"{fix} and run the suite again"
    )


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
