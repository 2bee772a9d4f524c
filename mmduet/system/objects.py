"""Objects by name: a built-in one from a dict, or a user's own as ``module:OBJECT``."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from mmduet.errors import DuetError

T = TypeVar("T")


def find_object(name: str, known: Mapping[str, T], kind: type[T], *, argument: str) -> T:
    """Look up a built-in object, or import a user's own.

    Importing runs the module's code, so a name that comes from a checkpoint or an annotation file must be looked up in
    the dict alone. The current folder is searched like an installed package.

    Args:
        name: A key of `known`, or ``module:OBJECT``.
        known: The built-in objects.
        kind: What the object must be an instance of.
        argument: The argument or option that gave the name, for messages.

    Raises:
        DuetError: The name is not known, cannot be imported, or is an object of another kind.
    """
    if name in known:
        return known[name]
    if ":" not in name:
        listed = f"use one of {sorted(known)}, or" if known else "give"
        raise DuetError(f"{argument}={name!r} is not known: {listed} module:OBJECT for your own.")
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # the user's code may raise anything
        raise DuetError(f"{argument}={name!r} cannot be imported ({type(error).__name__}: {error}).") from error
    if not isinstance(found, kind):
        raise DuetError(f"{argument}={name!r} has type {type(found).__name__}: give an object of type {kind.__name__}.")
    return found
