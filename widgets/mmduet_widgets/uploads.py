"""Uploads: clips that a page sends in pieces, in a temporary folder."""

import itertools
import re
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mmduet.errors import DuetError
from mmduet.files import remove, scratch_folder, validated, writing

MAX_BYTES = 2_000_000_000  # of a clip
LONGEST_NAME = 100


class _Piece(BaseModel):
    model_config = ConfigDict(strict=True)
    name: str
    size: Annotated[int, Field(gt=0)]
    offset: Annotated[int, Field(ge=0)]


class Uploads:
    """The clips that one player was sent. Its folder is removed with it, or when Python ends.

    Attributes:
        state: name and size, bytes, of the clip that is being sent, received, bytes of it, and limit, for the page.
            answers counts the pieces that were taken or refused: a page hears of a state only when it changes.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._answers = 0
        self._forget()

    def receive(self, piece: Any, buffers: Sequence[bytes | memoryview]) -> Path | None:
        """Take the next piece of a clip; a piece at offset 0 begins another one.

        Args:
            piece: name, size and offset, bytes, as the page sends them.
            buffers: The piece's bytes.

        Returns:
            The clip's path once it is complete.

        Raises:
            DuetError: The clip is too large for the limit or the disk, or it is not its next piece. It is forgotten.
        """
        self._answers += 1
        try:
            return self._add(validated("the page's message", _Piece, piece, place="field"), buffers)
        except DuetError:
            self.drop()
            raise

    def drop(self) -> None:
        """Forget the clip that is being sent."""
        if self._path:
            remove(self._path)
        self._forget()

    def _forget(self) -> None:
        self._path: Path | None = None  # of the clip that is not complete yet
        self.state: dict[str, Any] = {
            "name": "",
            "size": 0,
            "received": 0,
            "limit": MAX_BYTES,
            "answers": self._answers,
        }

    def _add(self, piece: _Piece, buffers: Sequence[bytes | memoryview]) -> Path | None:
        if piece.offset == 0:
            self.drop()
            self._begin(piece)
        expected = tuple(self.state[key] for key in ("name", "size", "received"))
        if not self._path or (piece.name, piece.size, piece.offset) != expected:
            raise DuetError(f"{_file_name(piece.name)}: a piece is missing before byte {piece.offset}: send it again.")
        with writing(self._path, [self._path]), self._path.open("ab") as file:
            received = piece.offset + sum(file.write(buffer) for buffer in buffers)
        if received > piece.size:
            raise DuetError(f"{_file_name(piece.name)}: has more than its {piece.size} bytes: send it again.")
        self.state = {**self.state, "received": received, "answers": self._answers}
        if received < piece.size:
            return None
        complete, self._path = self._path, None
        return complete

    def _begin(self, piece: _Piece) -> None:
        name = _file_name(piece.name)
        if piece.size > MAX_BYTES:
            raise DuetError(
                f"{name}: has {_megabytes(piece.size)}, more than the {_megabytes(MAX_BYTES)} that a page may send: "
                "put it into the folder of a clip, and type its path."
            )
        if self._folder is None:
            stack = ExitStack()
            self._folder = stack.enter_context(scratch_folder(Path(tempfile.gettempdir())))
            weakref.finalize(self, stack.close)
        free = shutil.disk_usage(self._folder).free
        if piece.size > free:
            raise DuetError(
                f"{name}: has {_megabytes(piece.size)}, and {self._folder.parent} has {_megabytes(free)} free: make "
                "room there, or set TMPDIR to another folder."
            )
        numbers = (f"{number} {name}" if number > 1 else name for number in itertools.count(1))
        self._path = next(path for path in map(self._folder.joinpath, numbers) if not path.exists())
        with writing(self._path, [self._path]):
            self._path.touch()
        self.state = {**self.state, "name": piece.name, "size": piece.size}


def _file_name(name: str) -> str:
    """The name without what leads to other folders or what a file system may not take."""
    plain = re.sub(r"[^\w.\- ]", "_", re.split(r"[\\/]", name)[-1]).lstrip(". ")
    return plain[-LONGEST_NAME:] or "clip"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"
