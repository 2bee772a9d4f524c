"""Timing: how often a duet would speak, and whether it would where something is due, at every threshold.

Scores are replayed, no model runs. Had the model really spoken elsewhere, and kept its words in the context, later
scores would differ; with responses removed from the context the replay is exact.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmduet.errors import DuetError
from mmduet.evaluation.prediction_file import Prediction
from mmduet.policy import ScoreSum, ScoreThreshold
from mmduet.replay import replay_thresholds

SPEED, RATES = "responses a minute", ("in-span rate", "spans answered", "timing F1")

UNITS = {SPEED: "of video", **dict.fromkeys(RATES, "0 to 1")}

Spans = Sequence[tuple[float, float, str]]  # start, end, s; label
Metric = Callable[[str, np.ndarray], float]  # of a question and the times, s, of its responses


@dataclass(frozen=True, slots=True)
class TimingSweep:
    """Counts of every question (P) at every threshold (T).

    minutes: of each video, float64 [P]. spans: reference spans of each question, int64 [P]. said: responses; inside:
    those within a span; answered: spans with a response within, all int64 [P, T]. metrics: name -> float64 [P, T].
    """

    questions: tuple[str, ...]
    thresholds: tuple[float, ...]
    minutes: np.ndarray
    spans: np.ndarray
    said: np.ndarray
    inside: np.ndarray
    answered: np.ndarray
    metrics: dict[str, np.ndarray]

    def table(self) -> pd.DataFrame:
        """A row a threshold, a column a figure; nan where there is nothing to divide by.

        responses a minute: of video. Then, in [0, 1] and where questions have spans: in-span rate, the share of
        responses that fall into a span; spans answered, the share of spans that get one; timing F1, the harmonic mean
        of the two. All of these over all questions together; metrics are means over questions.
        """
        figures = self._figures(np.ones((1, len(self.questions))))
        return self._framed({name: values[0] for name, values in figures.items()})

    def intervals(self, *, draws: int = 1000, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The lower and the upper ends of 95 % percentile bootstrap intervals over questions, each like `table`."""
        count = len(self.questions)
        weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
        ends = {name: _percentiles(values) for name, values in self._figures(weights.astype(float)).items()}
        return self._framed({n: low for n, (low, _) in ends.items()}), self._framed(
            {n: up for n, (_, up) in ends.items()}
        )

    def _figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Each figure, [D, T], with questions counted as often as weights, [D, P], say."""
        figures = {SPEED: _ratio(weights @ self.said, weights @ self.minutes[:, None])}
        if self.spans.any():
            known = weights * (self.spans > 0)
            inside = _ratio(known @ self.inside, known @ self.said)
            answered = _ratio(known @ self.answered, known @ self.spans[:, None])
            figures |= dict(
                zip(RATES, (inside, answered, _ratio(2 * inside * answered, inside + answered)), strict=True)
            )
        for name, values in self.metrics.items():
            there = ~np.isnan(values)
            figures[name] = _ratio(weights @ np.nan_to_num(values), weights @ there)
        return figures

    def _framed(self, figures: Mapping[str, np.ndarray]) -> pd.DataFrame:
        return pd.DataFrame(figures, index=pd.Index(self.thresholds, name="threshold"))


def sweep(
    predictions: Mapping[str, Prediction],
    spans: Mapping[str, Spans],
    policy: ScoreThreshold | ScoreSum,
    thresholds: Sequence[float],
    *,
    metrics: Mapping[str, Metric] | None = None,
) -> TimingSweep:
    """Replay a policy of this kind over every prediction with scores.

    spans: question -> reference spans, for those that have any. metrics: name -> a question's figure in [0, 1], nan
    for none; asked once for every different set of responses.
    Raises DuetError when no prediction has scores, as whole-video baselines have none.
    """
    asked = {name: prediction for name, prediction in predictions.items() if len(prediction.trace)}
    if not asked:
        raise DuetError(f"none of {len(predictions)} predictions has frame scores: there is nothing to replay.")
    replayed = replay_thresholds([prediction.trace for prediction in asked.values()], policy, thresholds)
    shape = (len(asked), len(thresholds))
    said, inside, answered = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    figures = {name: np.empty(shape) for name in metrics or {}}
    for row, (name, spoken) in enumerate(zip(asked, replayed, strict=True)):
        times = asked[name].trace.times
        within = _within(times, spans.get(name, ()))
        said[row], inside[row] = spoken.sum(1), (spoken & within.any(0)).sum(1)
        answered[row] = (spoken[:, None] & within).any(2).sum(1)
        for metric, values in figures.items():
            values[row] = _measured(name, times, spoken, (metrics or {})[metric])
    return TimingSweep(
        questions=tuple(asked),
        thresholds=tuple(float(threshold) for threshold in thresholds),
        minutes=np.array([prediction.duration / 60 for prediction in asked.values()]),
        spans=np.array([len(spans.get(name, ())) for name in asked], dtype=np.int64),
        said=said,
        inside=inside,
        answered=answered,
        metrics=figures,
    )


def _within(times: np.ndarray, spans: Spans) -> np.ndarray:
    """Which frames lie in which span, both ends included: bool [spans, frames]."""
    bounds = np.array([span[:2] for span in spans], dtype=float).reshape(-1, 2)
    return (bounds[:, :1] <= times) & (times <= bounds[:, 1:])


def _measured(name: str, times: np.ndarray, spoken: np.ndarray, metric: Metric) -> list[float]:
    """The metric of a question at each threshold. spoken: bool [T, N]."""
    known: dict[bytes, float] = {}
    for row in spoken:
        key = row.tobytes()
        if key not in known:
            known[key] = metric(name, times[row])
    return [known[row.tobytes()] for row in spoken]


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """nan where nothing is below."""
    above, below = np.broadcast_arrays(above, below)
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def _percentiles(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 2.5th and the 97.5th of each column [D, T]; nan where a column has no number."""
    ends = np.full((2, values.shape[1]), np.nan)
    known = ~np.isnan(values).all(0)
    ends[:, known] = np.nanpercentile(values[:, known], [2.5, 97.5], axis=0)
    return ends[0], ends[1]
