"""Contract: what a benchmark's own functions return, and the spans of its items, checked where they come back.

`Benchmark` calls these checks, so that commands, notebooks and tables rely on what they are given. ``who`` names the
benchmark and the function. A mistake is a `DuetError` of one sentence: who, what came, and the fix.
"""

import math
from collections.abc import Collection, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmduet.errors import AnnotationError, DuetError
from mmduet.evaluation.prediction_file import Prediction, PredictionFile
from mmduet.files import shown
from mmduet.policy import FloatArray
from mmduet.trace import Query, UserTurn

TURNS = {"queries": Query, "turns": UserTurn, "images": str}  # fields of a question, and what each lists


def check_type(who: str, value: Any, kind: type, fix: str) -> None:
    """Refuse a value of another type.

    Raises:
        DuetError: It is no `kind`.
    """
    if not isinstance(value, kind):
        came = "None" if value is None else f"an object of type {type(value).__name__}"
        raise DuetError(f"{who} returned {came}: {fix}.")


def check_question(who: str, name: str, question: Any) -> None:
    """Check the fields of a `Question`.

    Args:
        who: The benchmark and the function.
        name: The id of its item.
        question: The question.

    Raises:
        DuetError: It has another id, no name of a video, nothing that is asked, or a query that cannot be asked.
    """
    if str(question.question_id) != name:
        raise DuetError(f"{who} returned question {question.question_id!r} for item {name!r}: give it the item's id.")
    if not isinstance(question.video, str):
        raise DuetError(f"{who} returned question {name!r} with video={question.video!r}: give its file name as text.")
    for field, kind in TURNS.items():
        found = getattr(question, field)
        if not isinstance(found, tuple | list) or not all(isinstance(each, kind) for each in found):
            raise DuetError(
                f"{who} returned question {name!r} with {field}={shown(found)}: give a tuple of {kind.__name__}, such "
                "as (Query(0.0, text),) for queries."
            )
    if not question.queries and not question.turns:
        raise DuetError(f"{who} returned question {name!r} without a query: give at least one.")
    for query in question.queries:
        # a prediction file states the query, and JSON has no numbers of numpy
        if not isinstance(query.text, str) or not isinstance(query.time, int | float) or not _is_time(query.time):
            raise DuetError(
                f"{who} returned question {name!r} with {shown(query)}: give a float from 0 s on, and text."
            )


def check_entries(who: str, entries: Any) -> None:
    """Check what `entries` returned: (position, value) of each entry.

    Raises:
        DuetError: It is no list of pairs.
    """
    fix = "return a list with a pair (position as text, value) for each entry"
    check_type(who, entries, list, fix)
    for entry in entries:
        if not isinstance(entry, tuple) or len(entry) != 2:
            raise DuetError(f"{who} returned the entry {shown(entry)}: {fix}.")


def check_predictions(who: str, file: Any) -> None:
    """Check what `read` returned.

    Raises:
        DuetError: It is no `PredictionFile`, or holds something else than predictions.
    """
    check_type(who, file, PredictionFile, "return a PredictionFile")
    for name, each in file.by_id.items():
        check_type(f"{who} for question {name!r}", each, Prediction, "return a Prediction for each question in by_id")


def check_scores(who: str, scores: Any, weights: Mapping[str, str]) -> None:
    """Check a table of scores: no row or column twice, numbers or NaN in it, and weights from 0 on.

    Args:
        who: The benchmark and the function.
        scores: The table. Columns that are no metric may hold anything.
        weights: Metric -> the column that weights it; empty: none.

    Raises:
        DuetError: It is no such table.
    """
    fix = "return a DataFrame with a row a question (the index is the question's id) and a column a metric"
    check_type(who, scores, pd.DataFrame, fix)
    for kind, names in (("row", scores.index), ("column", scores.columns)):
        if names.has_duplicates:
            twice = names[names.duplicated()][0]
            raise DuetError(f"{who} returned the {kind} {twice!r} more than once: {fix}.")
    for name in (name for name in weights if name in scores):
        present = ~np.isnan(_numbers(who, scores, name))
        if weight := weights[name]:
            if weight not in scores:
                raise DuetError(
                    f"{who} returned no column {weight!r}, the weight of the metric {name!r}: add it, or leave out the "
                    "metric's weight."
                )
            wrong = present & ~(_numbers(who, scores, weight) >= 0)
            if wrong.any():
                raise DuetError(f"{who} returned {_cell(scores, weight, wrong)}: a weight is a number from 0 on.")


def check_rows(who: str, scores: pd.DataFrame, references: Mapping[str, Any]) -> None:
    """Check that the rows of scores are questions of the test file.

    Raises:
        DuetError: One is not.
    """
    for name in scores.index:
        if name not in references:
            raise DuetError(
                f"{who} returned a row {shown(name)}, which is no question of the test file: the index has the "
                f"questions' ids as text, such as {next(iter(references))!r}."
            )


def check_metrics(who: str, found: Collection[Any], metrics: Collection[str]) -> None:
    """Check that every metric has a column.

    Raises:
        DuetError: One has none.
    """
    if missing := [name for name in metrics if name not in found]:
        listed = ", ".join(repr(name) for name in found) or "none"
        raise DuetError(
            f"{who} returned no column {missing[0]!r} (its columns: {listed}): name it as in the benchmark's metrics."
        )


def check_combined(who: str, combined: Any, draws: int) -> None:
    """Check the metrics that `combined` made of means: an array for each, with a number or NaN a resample.

    Args:
        who: The benchmark and the function.
        combined: Metric -> its values.
        draws: D, the length of the means.

    Raises:
        DuetError: They are something else.
    """
    fix = f"return a float array [{draws}] for each metric, computed from the arrays of means, with NaN for no value"
    check_type(who, combined, Mapping, f"return a dict of metrics; {fix}")
    for name, values in combined.items():
        array = np.asarray(values)
        if array.shape != (draws,) or array.dtype.kind not in "biuf":
            raise DuetError(f"{who} returned {name!r} with shape {array.shape} and type {array.dtype}: {fix}.")
        if np.isinf(array).any():
            raise DuetError(f"{who} returned {name!r} with an infinite value: {fix}.")


def check_spans(path: str | Path, items: Mapping[str, Any]) -> None:
    """Check the spans of items that have any: (start s, end s), or (start s, end s, label).

    Raises:
        AnnotationError: A span is something else, negative or infinite, or ends before it starts.
    """
    for name, item in items.items():
        spans = getattr(item, "spans", ())
        listed = isinstance(spans, tuple | list)
        wrong = [span for span in spans if not _is_span(span)] if listed else [spans]
        if wrong:
            came = f"{shown(wrong[0])} in spans" if listed else f"spans={shown(spans)}"
            raise AnnotationError(
                f"{path}: question {name!r} has {came}: spans is a list of [start, end] or [start, end, label], with "
                "0 <= start <= end in seconds; leave it empty if nothing is due."
            )


def _is_span(span: Any) -> bool:
    return (
        isinstance(span, tuple | list)
        and len(span) in (2, 3)
        and all(map(_is_time, span[:2]))
        and span[0] <= span[1]
        and all(isinstance(label, str) for label in span[2:])
    )


def _is_time(value: Any) -> bool:
    return isinstance(value, Real) and 0 <= float(value) < math.inf


def _numbers(who: str, scores: pd.DataFrame, name: str) -> FloatArray:
    """The numbers of a column, NaN where it has no value: float64 [rows]."""
    known = scores[name].dropna().infer_objects()  # a column of numbers and None has type object
    if len(known) and known.dtype.kind not in "biuf":
        wrong = scores[name].map(lambda value: not isinstance(value, bool | int | float | None)).to_numpy(bool)
        raise DuetError(f"{who} returned {_cell(scores, name, wrong)}: give a number, or NaN for no value.")
    values = known.astype(float).reindex(scores.index).to_numpy()
    if np.isinf(values).any():
        raise DuetError(f"{who} returned {_cell(scores, name, np.isinf(values))}: give NaN for no value.")
    return values


def _cell(scores: pd.DataFrame, name: str, wrong: Any) -> str:
    """The first wrong cell of a column, in words."""
    row = int(np.argmax(wrong))
    return f"{shown(scores[name].tolist()[row])} in the column {name!r} of question {scores.index[row]!r}"
