"""Candidates: the policies that a calibration tries, simple ones first."""

import inspect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

from mmduet.errors import DuetError
from mmduet.policy import HEADS, POLICIES, REPLY, ThresholdPolicy, has_threshold, make_policy
from mmduet.system.objects import find_object

MODES = tuple(mode for mode, kind in POLICIES.items() if hasattr(kind, "with_threshold"))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A policy whose threshold is to be chosen.

    `str` is short: the values of options stand in parentheses.

    Attributes:
        mode: As of `make_policy`, and so are the others.
    """

    mode: str
    heads: tuple[str, ...]
    options: dict[str, float]

    def policy(self, threshold: float) -> ThresholdPolicy:
        """The policy with a threshold.

        Raises:
            DuetError: The mode has no threshold.
        """
        made = make_policy(self.mode, threshold, heads=self.heads, options=self.options)
        if not has_threshold(made):
            raise DuetError(f"mode={self.mode!r} has no threshold to choose: use {', '.join(MODES)}.")
        return made

    def __str__(self) -> str:
        options = f" ({', '.join(f'{value:g}' for value in self.options.values())})" if self.options else ""
        return f"{self.mode}{options}, {' + '.join(self.heads)}"


def candidates_for(
    scores: Sequence[str],
    modes: Sequence[str] = MODES,
    heads: Iterable[Sequence[str]] | None = None,
) -> list[Candidate]:
    """List the candidates for a model.

    Args:
        scores: The names of its scores, `DuetTrace.heads`: both heads, or ``reply``.
        modes: Names of policies with a threshold, or ``module:OBJECT``. Of their options, each value that the class
            has in `choices` is tried.
        heads: Choices of heads; None: each head, and both.

    Raises:
        DuetError: A mode or a head is wrong.
    """
    in_words = tuple(scores) == (REPLY,)
    chosen = [tuple(choice) for choice in heads or ((REPLY,),) if heads or in_words]
    chosen = chosen or [(HEADS[0],), (HEADS[1],), HEADS]
    found = [Candidate(mode, choice, options) for mode in modes for options in _options(mode) for choice in chosen]
    for candidate in found:
        candidate.policy(math.inf)  # refuses wrong modes and heads
    return found


def _options(mode: str) -> list[dict[str, float]]:
    """Every combination of the values of options that a policy's class names."""
    kind = find_object(mode, POLICIES, cast(Any, object), argument="mode")
    choices = inspect.getattr_static(kind, "choices", {})
    return [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]
