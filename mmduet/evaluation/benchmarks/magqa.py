"""Shot2Story-MAGQA-39k: what is said while an answer is due, as a judge rates it from 1 to 5.

The in-span score of a gold answer is the mean rating of the replies inside its span, 1 if there are none; an example's
is the mean over its gold answers (MMDuet, arXiv 2411.17991, and its published evaluation).
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from mmduet.errors import DuetError
from mmduet.evaluation.judges.rating import Pair, Rating
from mmduet.evaluation.predictions import UNTIMED, Prediction
from mmduet.evaluation.references import AnsweredItem
from mmduet.trace import Response

METRICS = ("in-span score", "turns", "turns, de-duplicated")
UNITS = dict(zip(METRICS, ("1 to 5", "a question", "a question"), strict=True))
_IN_SPAN = {
    "MMDuet, t=0.6": (2.46, 2.33, 13.7, 4.0),
    "MMDuet, t=0.5": (2.77, 2.61, 18.4, 5.3),
    "MMDuet, t=0.4": (3.00, 2.81, 23.0, 6.6),
    "MMDuet, t=0.3": (3.13, 2.93, 27.0, 7.6),
    "LLaVA-OV-TC": (2.77, 2.64, 4.1, 2.2),
    "LLaVA-OV-VT": (2.54, 2.42, 4.1, 3.1),
    "VideoLLM-Online": (1.33, 1.26, 1.3, 1.1),
}
# of arXiv 2411.17991v2; MMDuet's with responses removed from the context. Judges do not compare: a row each
PUBLISHED = {
    f"{system}, judged by {judge}": dict(zip(METRICS, (figures[column], *figures[2:]), strict=True))
    for column, judge in enumerate(("LLaMA-3.1-70B", "GPT-4o"))
    for system, figures in _IN_SPAN.items()
}

Over = Literal["predicted", "references", "answered"]
OVER: tuple[Over, ...] = ("predicted", "references", "answered")


def replies(prediction: Prediction) -> list[Response]:
    """What was said and when, s. A whole-video baseline's segment is said at its middle, as published; a baseline's
    text without times at UNTIMED.
    """
    said = [segment for segment in prediction.segments or [] if segment.text]
    return [Response((s.start + s.end) / 2, s.text) for s in said] or prediction.trace.responses


def pairs(predictions: Mapping[str, Prediction], references: Mapping[str, AnsweredItem]) -> list[Pair]:
    """The pairs of a gold answer and a reply of which some reply is inside some span: those that a judge must rate.

    Identical texts of an example are one pair. Raises DuetError for an example without a question.
    """
    return [
        pair
        for name, item in references.items()
        if name in predictions
        for pair in _pairs(name, item, replies(predictions[name]))
    ]


def _pairs(name: str, item: AnsweredItem, said: Sequence[Response]) -> list[Pair]:
    if not item.conversation:
        raise DuetError(f"reference {name!r} has an empty conversation: its first turn is the question.")
    question = item.conversation[0].content
    return [
        Pair(name, tuple(g), tuple(r), (question, gold, reply))
        for gold, g in _indices([answer.content for answer in item.answer]).items()
        for reply, r in _indices([response.text for response in said]).items()
        if any(_inside(said[j].time, item.answer[i].time) for i in g for j in r)
    ]


def _indices(texts: Sequence[str]) -> dict[str, list[int]]:
    """text -> where it stands."""
    found: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        found.setdefault(text, []).append(index)
    return found


def _inside(time: float, span: tuple[float, float]) -> bool:
    """A reply without a time is inside every span."""
    return time == UNTIMED or span[0] <= time <= span[1]


def score(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, AnsweredItem],
    ratings: Mapping[str, Rating],
    *,
    over: Over = "predicted",
) -> pd.DataFrame:
    """In-span score (1 to 5), turns, different turns, and errors: a row an example.

    ratings: custom_id -> rating of `pairs`. errors: pairs without one; they are in no mean, and a gold answer that
    has only such replies is not either. An example of which nothing is left has nan.
    over: which examples count. predicted: those with a prediction; one that says nothing scores 1 with 0 turns.
    references: all of them; one without a prediction scores 1, too. This is the published way, which fills up to the
    2,000 of the test file. answered: those with a reply.

    Raises DuetError for an unknown `over`.
    """
    if over not in OVER:
        raise DuetError(f"over={over!r} is not known; known are {OVER}.")
    rows = {}
    for name, item in references.items():
        said = replies(predictions[name]) if name in predictions else []
        if said or over == "references" or (over == "predicted" and name in predictions):
            rows[name] = _score(name, item, said, ratings)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[*METRICS, "errors"], dtype=float)
    return table.rename_axis("question_id")


def _score(name: str, item: AnsweredItem, said: Sequence[Response], ratings: Mapping[str, Rating]) -> tuple:
    rated: dict[tuple[int, int], float] = {}
    errors = 0
    for pair in _pairs(name, item, said):
        value = rating.value if (rating := ratings.get(pair.custom_id)) else None
        errors += value is None
        rated |= {(g, r): np.nan if value is None else float(value) for g in pair.golds for r in pair.replies}
    golds = []
    for g, answer in enumerate(item.answer):
        inside = [rated[g, r] for r, response in enumerate(said) if _inside(response.time, answer.time)]
        golds.append(_mean(inside) if inside else 1.0)
    return _mean(golds), len(said), len({response.text for response in said}), errors


def _mean(values: Sequence[float]) -> float:
    """Of those that are not nan; nan where none is left."""
    there = [value for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else np.nan


def evaluate(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, AnsweredItem],
    ratings: Mapping[str, Rating],
    *,
    over: Over = "predicted",
) -> dict[str, float]:
    """The means of `score` over examples, and `errors`: the number of pairs without a rating."""
    table = score(predictions, references, ratings, over=over)
    return table[list(METRICS)].mean().to_dict() | {"errors": float(table["errors"].sum())}
