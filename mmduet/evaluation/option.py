"""Options: keyword-only parameters of a benchmark's functions, as a command takes them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True)
class Option:
    """An option of `Benchmark.score` or `Benchmark.command`: its type, default and help."""

    kind: Any
    default: Any
    help: str


def options_of(function: Callable[..., Any]) -> dict[str, Option]:
    """The keyword-only parameters of a function whose annotation is ``Annotated[type, "help"]``."""
    hints = get_type_hints(function, include_extras=True)
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and get_origin(hints.get(name)) is Annotated:
            kind, text = get_args(hints[name])[:2]
            found[name] = Option(kind, parameter.default, text)
    return found
