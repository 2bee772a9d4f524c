"""Reading: text, JSON and JSON Lines, whose errors name the file, the place and the rule."""

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mmduet.errors import AnnotationError
from mmduet.files.messages import kind_of, place_of, reason_of, shown


def read_text(path: str | Path, *, cut: bool = False) -> str:
    """Read a UTF-8 text file, with or without a byte order mark. Line ends are kept.

    Args:
        path: The file.
        cut: Leave out what follows the last line end.

    Raises:
        AnnotationError: The file is missing, not a regular file, not readable, or not UTF-8.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise AnnotationError(f"{path} is {kind_of(path)}: give a file.")
        content = path.read_bytes()
        return (content[: content.rfind(b"\n") + 1] if cut else content).decode("utf-8-sig")
    except FileNotFoundError:
        raise AnnotationError(f"{path} does not exist: correct the path.") from None
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error
    except (OSError, ValueError) as error:
        raise AnnotationError(f"{path} cannot be read: {reason_of(error)}.") from error


def read_json(path: str | Path) -> Any:
    """Read the value in a JSON file.

    Raises:
        AnnotationError: As for `read_text`, or the file is not JSON.
    """
    text = read_text(path)
    try:
        return _loads(text)
    except ValueError as error:
        lines = " (a file with a value a line is named .jsonl)" if str(error).startswith("Extra data") else ""
        raise AnnotationError(f"{path} is no readable JSON: {error}{lines}.") from error


def read_jsonl(path: str | Path, *, cut: bool = False) -> Iterator[tuple[int, Any]]:
    """Read a JSON Lines file: (line number from 1, value) of each line that is not blank.

    Only a line feed ends a line: U+2028 and similar characters may occur inside a text.

    Args:
        path: The file.
        cut: Leave out a last line without a line end, which a killed process left.

    Raises:
        AnnotationError: As for `read_text`, or a line is not JSON. The message names the first such line.
    """
    for number, line in enumerate(read_text(path, cut=cut).split("\n"), 1):
        if line.strip():
            try:
                yield number, _loads(line)
            except ValueError as error:
                whole = " (a file with one list is named .json)" if number == 1 and line.startswith("[") else ""
                raise AnnotationError(f"{path}, line {number}: no JSON: {error}{whole}.") from error


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def validated(path: str | Path, kind: Any, value: Any, *, place: str = "entry") -> Any:
    """Convert a value from a file to a pydantic type.

    Args:
        path: The file that the value was read from, for messages.
        kind: The pydantic type.
        value: The value.
        place: What the message calls the places in the file.

    Raises:
        AnnotationError: The value breaks the type. The message names the file, the place, the rule and the value.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{place} {place_of(first['loc'])}" if first["loc"] else place.removesuffix(" /")
        raise AnnotationError(f"{path}: {where}: {first['msg']}; found {shown(first['input'])}.") from error
    except RecursionError:
        raise AnnotationError(f"{path}: {place}: it is nested too deeply.") from None


def inside(root: Path, name: str) -> Path | None:
    """Return `root`/`name`, or None when `name` is absolute or leads out of `root`."""
    parts = PurePosixPath(name.replace("\\", "/"))
    depth = 0
    for part in parts.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return None
    return None if parts.is_absolute() or re.match(r"[A-Za-z]:", name) else root / name
