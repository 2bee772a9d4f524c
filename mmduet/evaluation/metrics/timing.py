"""Timing: how often a duet speaks, and whether it speaks within the reference spans, at every threshold.

Scores are replayed and no model runs; `DuetTrace.replay` says when that is exact.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmduet.errors import DuetError
from mmduet.evaluation.metrics.bootstrap import percentile_interval, resample_weights
from mmduet.evaluation.metrics.pauc import SILENT, pauc_if_right
from mmduet.evaluation.prediction_file import Prediction
from mmduet.policy import BoolArray, FloatArray, Policy, replay_thresholds, threshold_policy
from mmduet.trace import DuetTrace

RATE, TIMING = "responses a minute", ("timing precision", "timing recall", "timing F1")
OUTSIDE, TIMED_PAUC = f"{RATE} outside spans", "timing PAUC"

UNITS = {
    RATE: "of video",
    **dict.fromkeys(TIMING, "0 to 1"),
    OUTSIDE: "of other video",
    TIMED_PAUC: "0 to 1",
}

IntArray = NDArray[np.int64]

Spans = Sequence[tuple[float, float, str]]  # start, end, s; label
Metric = Callable[[str, FloatArray], float]  # (question, times of its responses, s) -> value


@dataclass(frozen=True, slots=True)
class TimingSweep:
    """Counts of each of P questions at each of T thresholds.

    Attributes:
        questions: P names.
        thresholds: T of them.
        minutes: Minutes of each video from its question on (`minutes_asked`), float64 [P].
        spans: Number of each question's reference spans, int64 [P].
        responses: Number of responses, int64 [P, T].
        correct: Number of responses within a reference span, int64 [P, T].
        recalled: Number of reference spans that have a response, int64 [P, T].
        metrics: name -> float64 [P, T].
        outside: Minutes of each video outside its reference spans, float64 [P].
        area: Sum of the PAUC of each question's reference spans, if responses in a span are right, float64 [P, T].
    """

    questions: tuple[str, ...]
    thresholds: tuple[float, ...]
    minutes: FloatArray
    spans: IntArray
    responses: IntArray
    correct: IntArray
    recalled: IntArray
    metrics: dict[str, FloatArray]
    outside: FloatArray
    area: FloatArray

    def table(self) -> pd.DataFrame:
        """Tabulate the metrics over all questions.

        Returns:
            A row per threshold, a column per metric, nan where the denominator is 0. ``responses a minute`` of
            video, from the question on. Where questions have reference spans, in [0, 1]: ``timing precision``, the
            share of responses within a span; ``timing recall``, the share of spans that have a response;
            ``timing F1``, their harmonic mean. Then the means of `metrics` over questions.
        """
        values = self._shown(np.ones((1, len(self.questions))))
        return self._framed({name: column[0] for name, column in values.items()})

    def intervals(self, *, draws: int = 1000, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Compute 95 % percentile bootstrap intervals over questions: their lower and upper ends, each like `table`."""
        weights = resample_weights(len(self.questions), draws=draws, seed=seed)
        ends = {name: percentile_interval(column) for name, column in self._shown(weights).items()}
        low, high = ({name: pair[place] for name, pair in ends.items()} for place in (0, 1))
        return self._framed(low), self._framed(high)

    def figures(self) -> pd.DataFrame:
        """Each of `values` over all questions: a row a threshold, a column a figure."""
        values = self.values(np.ones((1, len(self.questions))))
        return self._framed({name: column[0] for name, column in values.items()})

    def _shown(self, weights: FloatArray) -> dict[str, FloatArray]:
        return {name: value for name, value in self.values(weights).items() if name not in (OUTSIDE, TIMED_PAUC)}

    def values(self, weights: FloatArray) -> dict[str, FloatArray]:
        """Each figure, [D, T], with the questions weighted by weights, [D, P].

        They are those of `table`, and, where questions have reference spans, ``responses a minute outside spans``, for
        each minute of video without a span, and ``timing PAUC``, the mean PAUC of spans whose responses are all right
        (see `mmduet.evaluation.metrics.pauc`; ω is 0.5).
        """
        values = {RATE: _ratio(weights @ self.responses, weights @ self.minutes[:, None])}
        if self.spans.any():
            known = weights * (self.spans > 0)
            precision = _ratio(known @ self.correct, known @ self.responses)
            recall = _ratio(known @ self.recalled, known @ self.spans[:, None])
            f1 = _ratio(2 * precision * recall, precision + recall)
            values |= dict(zip(TIMING, (precision, recall, f1), strict=True))
            values[OUTSIDE] = _ratio(known @ (self.responses - self.correct), known @ self.outside[:, None])
            values[TIMED_PAUC] = _ratio(known @ self.area, known @ self.spans[:, None])
        for name, metric in self.metrics.items():
            values[name] = _ratio(weights @ np.nan_to_num(metric), weights @ ~np.isnan(metric))
        return values

    def _framed(self, columns: Mapping[str, FloatArray]) -> pd.DataFrame:
        return pd.DataFrame(columns, index=pd.Index(self.thresholds, name="threshold"))


def sweep(
    predictions: Mapping[str, Prediction],
    spans: Mapping[str, Spans],
    policy: Policy,
    thresholds: Sequence[float],
    *,
    metrics: Mapping[str, Metric] | None = None,
) -> TimingSweep:
    """Replay a policy at many thresholds over every prediction that has scores.

    A replay's response before the question does not count.

    Args:
        predictions: question -> prediction; one without scores, as of a whole-video baseline, is left out.
        spans: question -> reference spans, for questions that have any.
        policy: One with a threshold.
        thresholds: T of them.
        metrics: name -> a question's value in [0, 1], or nan for none. It is called once for each different set of
            responses.

    Raises:
        DuetError: No prediction has scores, or the policy has no threshold.
    """
    return next(sweeps(predictions, spans, [(policy, thresholds)], metrics=metrics))


def sweeps(
    predictions: Mapping[str, Prediction],
    spans: Mapping[str, Spans],
    settings: Iterable[tuple[Policy, Sequence[float]]],
    *,
    metrics: Mapping[str, Metric] | None = None,
) -> Iterator[TimingSweep]:
    """Make the `sweep` of each of several policies with its thresholds; what does not depend on them is done once."""
    scored = {name: prediction for name, prediction in predictions.items() if len(prediction.trace)}
    if not scored:
        raise DuetError(f"none of {len(predictions)} predictions has frame scores: there is nothing to replay.")
    asked = {name: _Asked.of(each, spans.get(name, ())) for name, each in scored.items()}
    for policy, thresholds in settings:
        yield _sweep(scored, asked, policy, thresholds, metrics or {})


def _sweep(
    scored: Mapping[str, Prediction],
    asked: Mapping[str, "_Asked"],
    policy: Policy,
    thresholds: Sequence[float],
    metrics: Mapping[str, Metric],
) -> TimingSweep:
    policy = threshold_policy(policy, "a sweep over thresholds")
    replayed = replay_thresholds(policy, [prediction.trace for prediction in scored.values()], thresholds)
    shape = (len(scored), len(thresholds))
    responses, correct, recalled = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    area, values = np.zeros(shape), {name: np.empty(shape) for name in metrics}
    for row, (name, speaks) in enumerate(zip(scored, replayed, strict=True)):
        speaks = speaks & asked[name].counts
        responses[row], correct[row], recalled[row], area[row] = asked[name].count(speaks)
        for metric, column in values.items():
            column[row] = _measured(name, scored[name].trace.times, speaks, metrics[metric])
    return TimingSweep(
        questions=tuple(scored),
        thresholds=tuple(float(threshold) for threshold in thresholds),
        minutes=np.array([each.minutes for each in asked.values()]),
        spans=np.array([len(each.gains) for each in asked.values()], dtype=np.int64),
        responses=responses,
        correct=correct,
        recalled=recalled,
        metrics=values,
        outside=np.array([each.outside for each in asked.values()]),
        area=area,
    )


def responses_a_minute(count: int, duration: float) -> float:
    """The number of responses for each minute of a video.

    Args:
        count: Number of responses.
        duration: Length of the video, s, > 0.
    """
    if not 0 < duration < math.inf:
        raise DuetError(f"duration={duration}: give the video's length, seconds above 0.")
    return count / duration * 60


def asked_at(trace: DuetTrace) -> float:
    """When the question was asked, s: the time of its first query; 0 if the trace has none."""
    return min((query.time for query in trace.queries), default=0.0)


def minutes_asked(prediction: Prediction) -> float:
    """Minutes of video from the question on, >= 0."""
    return max(0.0, prediction.duration - asked_at(prediction.trace)) / 60


def within_spans(times: FloatArray, spans: Spans) -> BoolArray:
    """Which of N times lie in which of S spans, both ends included: bool [S, N]."""
    bounds = np.array([span[:2] for span in spans], dtype=float).reshape(-1, 2)
    return (bounds[:, :1] <= times) & (times <= bounds[:, 1:])


def covered(spans: Spans, start: float, end: float) -> tuple[float, float]:
    """Seconds from start to end that any span covers, and those that none covers."""
    inside = other = 0.0
    last = start
    for first, final in sorted((min(span[0], end), min(span[1], end)) for span in spans):
        other += max(0.0, first - last)
        inside += max(0.0, final - max(first, last))
        last = max(last, final)
    return inside, other + max(0.0, end - last)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a sweep counts of a question with S spans and N frames, whatever the policy.

    Attributes:
        counts: Which frames are from the question on, bool [N].
        members: Whether a frame counts, is in any span, and is in each span: 0 or 1, float32 [N, 2 + S].
        gains: Of each span its frames, and for each of them the span's PAUC if the first response is there, and right.
        minutes: Minutes of video from the question on.
        outside: Those of them without a span.
    """

    counts: BoolArray
    members: NDArray[np.float32]
    gains: list[tuple[slice, FloatArray]]
    minutes: float
    outside: float

    @classmethod
    def of(cls, prediction: Prediction, spans: Spans) -> "_Asked":
        times, start = prediction.trace.times, asked_at(prediction.trace)
        within = within_spans(times, spans)
        members = np.vstack([np.ones(len(times)), within.any(0), within]).T.astype(np.float32)
        gains = []
        for span in spans:
            part = slice(np.searchsorted(times, span[0]), np.searchsorted(times, span[1], "right"))
            gains.append((part, pauc_if_right(times[part], (span[0], span[1]))))
        outside = covered(spans, start, prediction.duration)[1] / 60
        return cls(times >= start, members, gains, minutes_asked(prediction), outside)

    def count(self, speaks: BoolArray) -> tuple[NDArray[Any], ...]:
        """Responses, those within a span, spans that have one, and the sum of the spans' PAUC; [T] each.

        Args:
            speaks: Whether the frames speak at each threshold, bool [T, N].
        """
        sums = speaks.astype(np.float32) @ self.members
        replied, area = sums[:, 2:] > 0, np.full(sums[:, 2:].shape, SILENT)
        for column, (part, gains) in enumerate(self.gains):
            if len(gains):
                gained = gains[speaks[:, part].argmax(1)]
                area[:, column] = np.where(replied[:, column], gained, SILENT)
        return sums[:, 0], sums[:, 1], replied.sum(1), area.sum(1)


def _measured(name: str, times: FloatArray, speaks: BoolArray, metric: Metric) -> list[float]:
    """The metric of a question at each threshold. speaks: bool [T, N]."""
    known: dict[bytes, float] = {}
    for row in speaks:
        key = row.tobytes()
        if key not in known:
            known[key] = metric(name, times[row])
    return [known[row.tobytes()] for row in speaks]


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """The quotient; nan where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    ratio = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=ratio, where=denominator > 0)
    return ratio
