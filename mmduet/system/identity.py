"""Whether work that is resumed is still the same work: one check for prediction files and training runs."""

import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmduet.errors import DuetError
from mmduet.files import place_of, shown


def check_same_settings(output: Path, started: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to resume work that was started with other settings.

    Args:
        output: The file or folder that holds the work so far.
        started: The settings it was started with, as read from JSON.
        now: The settings of this run, in the form that JSON gives back.

    Raises:
        DuetError: A setting differs. The message lists each one with both values.
    """
    if differing := list(differences(started, now)):
        raise DuetError(
            f"{output} was started with other settings ({'; '.join(differing)}): resume with those, give another "
            f"output, or delete {output.name}."
        )


def own_code(*classes: type) -> dict[str, str]:
    """The code of a user's own classes and of their bases: module -> SHA-256 of its source (the first 16 digits).

    Installed packages are not a user's own: their versions are stated elsewhere.
    """
    found = {}
    for base in {base for kind in classes for base in kind.__mro__}:
        name = base.__module__
        if name.partition(".")[0] in {"mmduet", "mmduet_widgets", *sys.stdlib_module_names}:
            continue
        with suppress(OSError, TypeError):  # a class of a notebook, or one compiled, has no file
            path = Path(inspect.getfile(base))
            if not {"site-packages", "dist-packages"} & set(path.parts):
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return found


def differences(started: Mapping[str, Any], now: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Describe each value that differs: its place, and both values."""
    for name in sorted({*started, *now}):
        was, value = started.get(name), now.get(name)
        if isinstance(was, Mapping) and isinstance(value, Mapping):
            yield from differences(was, value, (*path, name))
        elif was != value:
            yield f"{place_of([*path, name])} was {shown(was)}, is {shown(value)}"
