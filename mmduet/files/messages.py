"""Messages: how errors show a value, a place in a file, a kind of file and a reason."""

import reprlib
from collections.abc import Iterable
from pathlib import Path

MAX_LENGTH = 120  # characters

_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 3, 100, 100


def shown(value: object) -> str:
    """Show any value on one line of at most 120 characters."""
    try:
        return _shortened(_REPR.repr(value))
    except ValueError:  # an integer of over 4,300 digits
        return f"a very large {type(value).__name__}"


def place_of(names: Iterable[object]) -> str:
    """Show the path of keys and indices to a value."""
    return _shortened(" / ".join(str(name) if str(name).isprintable() else repr(name) for name in names))


def kind_of(path: Path) -> str:
    """Say what a path is that is no regular file."""
    return "a folder" if path.is_dir() else "no regular file"


def reason_of(error: Exception) -> str:
    """Show why an operation failed, without error codes and paths."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _shortened(text: str) -> str:
    return text if len(text) < MAX_LENGTH else text[: MAX_LENGTH - 3] + "..."
