"""Target: what a policy is chosen for."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmduet.errors import DuetError
from mmduet.evaluation.metrics.timing import OUTSIDE, RATE, TIMED_PAUC, TIMING
from mmduet.policy import BoolArray, FloatArray

PRECISION, RECALL, F1 = TIMING
NEAR = 0.05  # rates that differ from the wanted one by this share of it are as good

WORDS = {
    "rate": "a rate of responses a minute, such as rate=3; of the policies that meet it, the best timing F1",
    "f1": "the best timing F1",
    "pauc": "the best PAUC, if responses in a span are right; most at once wins, so bound it by a rate",
    "false-alarms": "at most so many responses a minute outside the spans, such as false-alarms=0.5, and the most "
    "spans that have a response",
}
MEASURED = {"rate": RATE, "f1": F1, "pauc": TIMED_PAUC, "false-alarms": OUTSIDE}
NUMBERED = ("rate", "false-alarms")


@dataclass(frozen=True, slots=True)
class Target:
    """What a policy is chosen for.

    Attributes:
        name: A key of `WORDS`.
        value: The wanted rate or the bound, responses a minute, >= 0; None for the others.
        most: Maximum responses a minute; infinite: any number.

    Raises:
        DuetError: The name is not known, or a number is missing, superfluous or out of range.
    """

    name: str
    value: float | None = None
    most: float = math.inf

    def __post_init__(self) -> None:
        if self.name not in WORDS:
            raise DuetError(f"target={str(self)!r} is not known: use one of rate=N, f1, pauc and false-alarms=N.")
        if (self.value is None) == (self.name in NUMBERED):
            rule = f"needs a number: {self.name}=N" if self.value is None else f"takes no number: {self.name}"
            raise DuetError(f"target={str(self)!r} {rule}.")
        for value in (self.value, self.most):
            if value is not None and not value >= 0:
                raise DuetError(f"target={str(self)!r}, {value}: give responses a minute, 0 or more.")

    @property
    def figure(self) -> str:
        """The figure that it is about."""
        return MEASURED[self.name]

    def best(self, figures: Mapping[str, FloatArray]) -> BoolArray:
        """Which settings are the best, bool [S]; at least one is.

        Args:
            figures: Figure -> its value of each of S settings, float64 [S].

        Raises:
            DuetError: The target needs spans, and there are none; or no setting meets it.
        """
        if self.name != "rate" and F1 not in figures:
            raise DuetError(
                f"target={str(self)!r} needs reference spans, and no question has any: give the items of the test file "
                "`spans`, [[start, end], …] in seconds, or use rate=N."
            )
        rates = figures[RATE]
        may = rates <= self.most
        if not may.any():
            raise DuetError(f"no setting has at most {self.most:g} responses a minute: raise the bound.")
        merit, cost, value = self.figure, self.cost(rates), float(self.value or 0)
        if self.name == "rate":
            merit = F1
            may &= cost <= max(NEAR * value, cost[may].min())
        elif self.name == "false-alarms":
            merit = RECALL
            may &= ~(figures[OUTSIDE] > value)
            if not may.any():
                raise DuetError(f"target={str(self)!r}: no setting has so few responses outside the spans.")
        worth = np.nan_to_num(figures.get(merit, -cost))
        return may & (worth >= worth[may].max() - 1e-12)

    def cost(self, rates: FloatArray) -> FloatArray:
        """What decides between settings that are equally good, float64 [S]: responses, or how far they are off."""
        return np.abs(rates - float(self.value or 0)) if self.name == "rate" else rates

    def __str__(self) -> str:
        number = "" if self.value is None else f"={self.value:g}"
        return f"{self.name}{number}"


def parse_target(text: str, *, most: float = math.inf) -> Target:
    """Read a target, as ``rate=3`` or ``f1``.

    Args:
        text: A name, and a number where the target has one.
        most: As of `Target`.

    Raises:
        DuetError: As `Target`, or what is given as a number is none.
    """
    name, _, number = text.partition("=")
    try:
        value = float(number) if number else None
    except ValueError:
        raise DuetError(f"target={text!r}: {number!r} is no number: write it as {name}=3.") from None
    return Target(name.strip(), value, most)
