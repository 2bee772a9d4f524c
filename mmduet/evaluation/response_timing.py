"""Response timing: whether a model responds at the right moments, by the same figures for every benchmark.

An item needs ``spans``: (start s, end s, label), the times at which something is due. Nothing else of the benchmark
counts, and no judge is asked. `mmduet.evaluation.metrics.timing` has the same figures at every threshold.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd

from mmduet.errors import DuetError
from mmduet.evaluation.benchmark import Metric, Predictions, References
from mmduet.evaluation.items import spans_of
from mmduet.evaluation.metrics.bootstrap import Estimate, estimate_ratios
from mmduet.evaluation.metrics.timing import (
    OUTSIDE,
    RATE,
    TIMING,
    Spans,
    asked_at,
    covered,
    minutes_asked,
    within_spans,
)
from mmduet.evaluation.metrics.timing import UNITS as SWEEP_UNITS
from mmduet.evaluation.prediction_file import Prediction
from mmduet.evaluation.table import beside_published
from mmduet.policy import FloatArray

PRECISION, RECALL = TIMING[:2]
IN_SPANS = f"{RATE} in spans"
DELAY, DUPLICATES = "delay in spans", "literal duplicates"
METRICS = {
    RATE: Metric(SWEEP_UNITS[RATE], better=None, digits=2, weight="minutes"),
    IN_SPANS: Metric("of spans", better=None, digits=2, weight="minutes in spans"),
    OUTSIDE: Metric(SWEEP_UNITS[OUTSIDE], "lower", digits=2, weight="minutes outside spans"),
    PRECISION: Metric(SWEEP_UNITS[PRECISION], digits=3, weight="responses"),
    RECALL: Metric(SWEEP_UNITS[RECALL], digits=3, weight="spans"),
    DELAY: Metric("s", "lower", digits=2, weight="spans with a response"),
    DUPLICATES: Metric("0 to 1", "lower", digits=3, weight="responses after the first"),
}
UNITS = {name: metric.unit for name, metric in METRICS.items()}
WEIGHTS = tuple(metric.weight for metric in METRICS.values())


class Evaluated(Protocol):
    """Predictions with their references, such as a `Result` of `evaluate.run`."""

    @property
    def predictions(self) -> Predictions:
        """Question id -> prediction."""
        ...

    @property
    def references(self) -> References:
        """Question id -> item."""
        ...


def has_spans(references: References) -> bool:
    """Whether any item states when something is due."""
    return any(map(spans_of, references.values()))


def timing_scores(predictions: Predictions, references: References) -> pd.DataFrame:
    """Measure when each question is answered.

    Responses before the question's first query do not count, and the video is that from this query to the end.
    Responses at both ends of a span are in it. The figures of METRICS are, for each question:

    * ``responses a minute`` of video;
    * ``responses a minute in spans``: those in any span, for each minute that spans cover; NaN if they cover no time;
    * ``responses a minute outside spans``: those in no span, for each minute of the other video;
    * ``timing precision``: the share of responses that are in a span;
    * ``timing recall``: the share of spans that have a response;
    * ``delay in spans``: s from the start of a span (or from the query, if that is later) to the first response in it;
      the mean over the spans that have one;
    * ``literal duplicates``: of the responses after the first, the share whose words are exactly those of an earlier
      one.

    A share of nothing is NaN. So a model that never responds has the rates and the recall 0, and the others NaN. A
    question without spans has the first and the last figure alone.

    Args:
        predictions: Question id -> prediction.
        references: Question id -> item.

    Returns:
        A row a question that has both: METRICS, and the columns that weight them in `estimate_timing`. All is NaN where
        the model did not choose the times (`Prediction.is_timed`).
    """
    rows = {
        name: _figures(predictions[name], spans_of(item)) if predictions[name].is_timed else {}
        for name, item in references.items()
        if name in predictions
    }
    columns = [*METRICS, *WEIGHTS]
    return pd.DataFrame([*rows.values()], index=pd.Index(rows, name="question_id"), columns=columns, dtype=float)


def estimate_timing(scores: pd.DataFrame) -> dict[str, Estimate]:
    """The figures over all questions, as ratios of sums, with 95 % bootstrap intervals over questions.

    A response counts also where its question has no such minute, as in a span of 0 s.

    Args:
        scores: From `timing_scores`.

    Raises:
        DuetError: There is no question.
    """
    figures = scores[[*METRICS]]
    weights = pd.DataFrame({name: scores[metric.weight] for name, metric in METRICS.items()})
    inside = scores[PRECISION] * scores["responses"]
    counts = {RATE: scores["responses"], IN_SPANS: inside, OUTSIDE: scores["responses"] - inside}
    return estimate_ratios((figures * weights).assign(**counts), weights.where(figures.notna()))


def timing_table(evaluated: Mapping[str, Evaluated | tuple[Predictions, References]]) -> pd.DataFrame:
    """Put the timing of several benchmarks or systems into one table; rounded texts, for reading.

    Args:
        evaluated: Name of a row -> a `Result`, or (predictions, references).

    Returns:
        A row a name: the number of questions, and METRICS with their units and 95 % intervals. NaN is a dash.

    Raises:
        DuetError: There is no row, or one has no question with both prediction and reference.
    """
    if not evaluated:
        raise DuetError("evaluated={}: give at least one result, or (predictions, references), with its name.")
    rows = [_shown(name, *_both(given)) for name, given in evaluated.items()]
    return pd.concat(rows)


def _both(given: Evaluated | tuple[Predictions, References]) -> tuple[Predictions, References]:
    return given if isinstance(given, tuple) else (given.predictions, given.references)


def _shown(name: str, predictions: Predictions, references: References) -> pd.DataFrame:
    scores = timing_scores(predictions, references)
    if scores.empty:
        raise DuetError(
            f"{name!r}: none of {len(predictions)} predictions has one of the {len(references)} references: give those "
            "of the same benchmark."
        )
    row = beside_published(
        estimate_timing(scores), {}, metrics=[*METRICS], name=name,
        digits={name: metric.digits for name, metric in METRICS.items()},
        units=UNITS,
    )  # fmt: skip
    row.insert(0, "questions", scores["responses"].count())
    return row.drop(columns="source")


def _figures(prediction: Prediction, spans: Spans) -> dict[str, float]:
    """The figures of a question and their weights; what is missing is NaN."""
    start = asked_at(prediction.trace)
    said = [response for response in prediction.trace.responses if response.time >= start]
    later, different = max(0, len(said) - 1), len({response.text for response in said})
    minutes = minutes_asked(prediction)
    found = {
        "minutes": minutes,
        "responses": len(said),
        "responses after the first": later,
        RATE: _ratio(len(said), minutes),
        DUPLICATES: _ratio(len(said) - different, later),
    }
    if not spans:
        return found
    return found | _in_spans(np.array([response.time for response in said]), spans, start, prediction.duration)


def _in_spans(times: FloatArray, spans: Spans, start: float, end: float) -> dict[str, float]:
    """The figures of responses at times [N], s, with spans in a video that counts from start to end, s."""
    within = within_spans(times, spans)
    inside, has_response = int(within.any(0).sum()), within.any(1)
    delays = [times[row].min() - max(span[0], start) for row, span in zip(within, spans, strict=True) if row.any()]
    inside_time, other = covered(spans, start, end)
    return {
        "minutes in spans": inside_time / 60,
        "minutes outside spans": other / 60,
        "spans": len(spans),
        "spans with a response": len(delays),
        IN_SPANS: _ratio(inside, inside_time / 60),
        OUTSIDE: _ratio(len(times) - inside, other / 60),
        PRECISION: _ratio(inside, len(times)),
        RECALL: _ratio(int(has_response.sum()), len(spans)),
        DELAY: _ratio(sum(delays), len(delays)),
    }


def _ratio(number: float, of: float) -> float:
    return number / of if of > 0 else float("nan")
