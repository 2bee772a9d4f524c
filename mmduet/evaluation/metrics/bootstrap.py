"""Uncertainty: the percentile bootstrap over samples (Efron, 1979)."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmduet.errors import DuetError
from mmduet.evaluation.metrics.digits import decimals

T = TypeVar("T")
Means = Mapping[str, NDArray[np.float64]]  # column -> its mean, first of all rows, then of each resample: float64 [D]
Combined = Callable[[Means], Means]
DECIMALS = 3  # at most, of an estimate as text


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval, NaN where there are fewer than two values. Nothing is rounded."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return self.text(DECIMALS)

    def text(self, most: int) -> str:
        """Write the figure and its interval with as many decimals as the interval justifies, `most` at most.

        Dashes stand for what is not known.
        """
        if math.isnan(self.value):
            return "–"
        if math.isnan(self.low):
            return f"{self.value:.{decimals(self.value, self.value, most=most)}f} [–]"
        count = decimals(self.low, self.high, most=most)
        return f"{self.value:.{count}f} [{self.low:.{count}f}, {self.high:.{count}f}]"


def bootstrap(
    samples: Sequence[T], statistic: Callable[[list[T]], float], *, draws: int = 1000, seed: int = 0
) -> Estimate:
    """Estimate a statistic of samples.

    Args:
        samples: What is resampled.
        statistic: A figure of samples. Resamples on which it is NaN (all of one class, say) are ignored.
        draws: Resamples, with replacement.
        seed: Seed of the resamples.

    Raises:
        DuetError: There are no samples.
    """
    _check_any(len(samples))
    rng = np.random.default_rng(seed)
    if len(samples) < 2:
        return Estimate(float(statistic(list(samples))), math.nan, math.nan)
    picks = rng.integers(len(samples), size=(draws, len(samples)))
    values = np.array([statistic([samples[i] for i in pick]) for pick in picks])
    return Estimate(float(statistic(list(samples))), *percentile_interval(values[:, None])[:, 0].tolist())


def estimate_means(
    scores: pd.DataFrame,
    *,
    weights: "Mapping[str, pd.Series[float]] | None" = None,
    draws: int = 1000,
    seed: int = 0,
    combined: Combined | None = None,
) -> dict[str, Estimate]:
    """Estimate the mean of each column over its cells that are not NaN.

    Args:
        scores: One row a sample, one column a metric.
        weights: Column -> weight of each row, 0 or more; a column that is not in it has equal weights.
        draws: Resamples of the rows, with replacement.
        seed: Seed of the resamples.
        combined: Gives figures that are made of the means. A resample on which one is NaN is ignored for it.

    Returns:
        Column, or name of a combined figure -> estimate; NaN for a column without any number. Where all numbers of a
        column come from one row, nothing is known of its uncertainty, and the interval is NaN. Empty without columns.

    Raises:
        DuetError: The table has no rows.
    """
    _check_any(len(scores))
    if scores.columns.empty:
        return {}
    values = scores.to_numpy(dtype=float)
    given = weights or {}
    counts = np.stack([given.get(name, pd.Series(1.0, scores.index)).to_numpy(float) for name in scores], axis=1)
    present = np.where(np.isnan(values), 0.0, counts)
    columns = _quotients(scores.columns, np.nan_to_num(values) * present, present, draws, seed)
    uncertain = _uncertain(scores.columns, present)
    if combined is not None:
        made = combined(columns)
        uncertain += made if np.count_nonzero(present.any(1)) < 2 else ()
        columns |= made
    return _estimates(columns, uncertain)


def estimate_ratios(
    numerators: pd.DataFrame, denominators: pd.DataFrame, *, draws: int = 1000, seed: int = 0
) -> dict[str, Estimate]:
    """Estimate the ratio of the sums of two columns of the same name.

    Args:
        numerators: One row a sample, one column a figure. NaN counts as 0.
        denominators: The same, 0 or more.
        draws: Resamples of the rows, with replacement. One whose denominators add up to 0 is ignored.
        seed: Seed of the resamples.

    Returns:
        Column -> estimate; NaN where the denominators add up to 0. Where one row alone has a denominator, the interval
        is NaN.

    Raises:
        DuetError: The table has no rows.
    """
    _check_any(len(numerators))
    names = numerators.columns
    above, below = (np.nan_to_num(table[names].to_numpy(dtype=float)) for table in (numerators, denominators))
    return _estimates(_quotients(names, above, below, draws, seed), _uncertain(names, below))


def _quotients(
    names: Iterable[Any], above: NDArray[np.float64], below: NDArray[np.float64], draws: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Name -> the ratio of the sums of all rows, then of each resample: float64 [1 + draws]; NaN for x / 0.

    above, below: float64 [rows, names].
    """
    drawn = resample_weights(len(above), draws=draws, seed=seed)
    over, under = (np.vstack([values.sum(0), drawn @ values]) for values in (above, below))
    figures = np.divide(over, under, out=np.full(over.shape, np.nan), where=under > 0)
    return dict(zip(map(str, names), figures.T, strict=True))


def _uncertain(names: Iterable[Any], present: NDArray[np.float64]) -> list[str]:
    """The names of columns that come from fewer than two rows."""
    return [str(name) for name, rows in zip(names, np.count_nonzero(present, axis=0), strict=True) if rows < 2]


def _estimates(columns: Means, uncertain: Iterable[str]) -> dict[str, Estimate]:
    found = {name: _estimate(column) for name, column in columns.items()}
    return found | {name: Estimate(found[name].value, math.nan, math.nan) for name in uncertain}


def _estimate(figures: NDArray[np.float64]) -> Estimate:
    return Estimate(float(figures[0]), *percentile_interval(figures[1:, None])[:, 0].tolist())


def estimate_differences(
    scores: pd.DataFrame, baseline: pd.DataFrame, *, draws: int = 1000, seed: int = 0
) -> dict[str, Estimate]:
    """Estimate by how much the mean of each column exceeds that of a baseline on the same questions.

    The bootstrap is paired: a resample draws questions, each with both of its scores. What makes a question hard for
    both then cancels, and an interval without 0 says that the two differ on such questions. Questions and columns
    that only one table has do not count; neither does a question for a metric that is NaN in one table.

    Args:
        scores: One row a question (the index names it), one column a metric.
        baseline: The same, of the system to compare with.
        draws: Resamples of the questions, with replacement.
        seed: Seed of the resamples.

    Returns:
        Column -> estimate of scores - baseline, in the column's unit; NaN for a column without a pair of numbers.

    Raises:
        DuetError: A table names a question twice, or the tables have no question in common.
    """
    for table in (scores, baseline):
        if table.index.has_duplicates:
            name = table.index[table.index.duplicated()][0]
            raise DuetError(f"question {name!r} has two rows: give each question one row of scores.")
    questions = scores.index.intersection(baseline.index, sort=False)
    if not len(questions):
        raise DuetError(
            f"the tables of {len(scores)} and {len(baseline)} questions have none in common: give scores of the same "
            "questions."
        )
    columns = [name for name in scores.columns if name in baseline.columns]
    differences = scores.loc[questions, columns].astype(float) - baseline.loc[questions, columns].astype(float)
    return estimate_means(differences, draws=draws, seed=seed)


def means(scores: pd.DataFrame, *, combined: Combined | None = None) -> dict[str, float]:
    """The mean of each column over its cells that are not NaN, and the figures that are made of these means."""
    found = {str(name): np.array([value], dtype=float) for name, value in scores.mean().items()}
    return {name: float(figure) for name, (figure,) in {**found, **(combined(found) if combined else {})}.items()}


def resample_weights(count: int, *, draws: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """How often each of `count` samples is drawn in each resample: float64 [draws, count]."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws).astype(float)


def percentile_interval(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 2.5th and the 97.5th percentile of each column of [draws, T]: float64 [2, T]; NaN for a column of NaN."""
    ends = np.full((2, values.shape[1]), np.nan)
    known = ~np.isnan(values).all(0)
    ends[:, known] = np.nanpercentile(values[:, known], [2.5, 97.5], axis=0)
    return ends


def _check_any(count: int) -> None:
    if not count:
        raise DuetError("no sample has a score, so there is nothing to average: give predictions that are scored.")
