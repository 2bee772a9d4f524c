"""Uncertainty: the percentile bootstrap over examples (Efron, 1979)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval. Nothing is rounded."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(examples: Sequence, statistic: Callable[[list], float], *, draws: int = 1000, seed: int = 0) -> Estimate:
    """`statistic` over the examples, and over `draws` resamples of them with replacement.

    Resamples on which the statistic is nan (a class missing from all of it) are left out.
    """
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(examples), size=(draws, len(examples)))
    values = [statistic([examples[i] for i in pick]) for pick in picks]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Estimate(float(statistic(list(examples))), float(low), float(high))
