"""Uncertainty: the percentile bootstrap over examples (Efron, 1979)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmduet.errors import DuetError


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
    Raises DuetError without examples.
    """
    _check_any(len(examples))
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(examples), size=(draws, len(examples)))
    values = [statistic([examples[i] for i in pick]) for pick in picks]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Estimate(float(statistic(list(examples))), float(low), float(high))


def estimate_means(scores: pd.DataFrame, *, draws: int = 1000, seed: int = 0) -> dict[str, Estimate]:
    """The mean of each column of a table with one row an example, over the cells that are not nan; nan without any.

    Raises DuetError for a table without rows.
    """
    _check_any(len(scores))
    values = scores.to_numpy(dtype=float)
    there, filled = ~np.isnan(values), np.nan_to_num(values)
    rng = np.random.default_rng(seed)
    # how often each example is drawn: [draws, n]
    weights = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=draws).astype(float)
    measured = there.any(0)
    estimates = np.full((3, values.shape[1]), np.nan)  # value, low, high
    with np.errstate(invalid="ignore"):
        means = (weights @ filled[:, measured]) / (weights @ there[:, measured])
    estimates[0, measured] = np.nanmean(values[:, measured], axis=0)
    estimates[1:, measured] = np.nanpercentile(means, [2.5, 97.5], axis=0)
    return {str(name): Estimate(*column) for name, column in zip(scores.columns, estimates.T.tolist(), strict=True)}


def _check_any(count: int) -> None:
    if not count:
        raise DuetError("no example has a score, so there is nothing to average: give predictions that are scored.")
