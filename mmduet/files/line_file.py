"""LineFile: a JSON Lines file to which lines are appended."""

import errno
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from mmduet.files.atomic import write_file
from mmduet.files.disk import make_folder, writing_only
from mmduet.files.locks import acquire
from mmduet.files.temporary import clean


class LineFile:
    """A JSON Lines file to which lines are appended, each in one write that is checked.

    A truncated last line, which a killed process left, is removed when the file is opened. A lock keeps a second
    process from writing.

    Raises:
        FileError: The file cannot be opened, another process holds it (the message names that process), or a line
            cannot be written completely. What was written of that line is removed again.
    """

    def __init__(self, path: str | Path):
        self.path = Path(os.path.realpath(path))
        with writing_only(self.path):
            make_folder(self.path.parent)
            clean(self.path.parent)
            self._lock = acquire(self.path, patience=0)
            try:
                self._open()
                _cut_truncated_line(self.path)
            except BaseException:
                self._lock.release()
                raise

    def _open(self) -> None:
        self._file = self.path.open("ab", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, value: Any) -> None:
        """Append one value as a line."""
        line = _encoded(value) + b"\n"
        with writing_only(self.path):
            end = self._file.seek(0, os.SEEK_END)
            try:
                written = self._file.write(line)
                if written != len(line):
                    raise OSError(errno.ENOSPC, f"{written} of {len(line)} bytes were written")
            except OSError:
                self._file.truncate(end)
                raise

    def rewrite(self, values: Iterable[Any]) -> None:
        """Replace all lines, completely or not at all."""
        write_file(self.path, b"".join(_encoded(value) + b"\n" for value in values))
        with writing_only(self.path):
            self._file.close()
            self._open()

    def close(self) -> None:
        """Close the file and release the lock."""
        self._file.close()
        self._lock.release()


def _cut_truncated_line(path: Path) -> None:
    with path.open("rb+") as file:
        file.truncate(file.read().rfind(b"\n") + 1)


def _encoded(value: Any) -> bytes:
    """JSON in UTF-8. A lone surrogate, which UTF-8 cannot hold, stays an escape."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()
