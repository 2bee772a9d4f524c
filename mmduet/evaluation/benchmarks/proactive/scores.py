"""ProactiveVideoQA's figures: of each turn, from the ratings of its replies, and of each question."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmduet.evaluation.benchmark import Metric
from mmduet.evaluation.benchmarks.proactive.items import ProactiveItem
from mmduet.evaluation.benchmarks.proactive.judging import YES
from mmduet.evaluation.benchmarks.proactive.turns import Turn, coverage_id, duplicate_id, words
from mmduet.evaluation.judges.rating import Rating
from mmduet.evaluation.metrics.pauc import START, Point, Rule, check_omega, find_rule, pauc
from mmduet.evaluation.prediction_file import Prediction

PAUC, AT_OMEGA = "PAUC", {"PAUC, omega 0": 0.0, "PAUC, omega 1": 1.0}
IMMEDIATE, DUPLICATES, LITERAL = "immediate", "duplicates", "literal duplicates"
METRICS = {
    **{name: Metric("0 to 1", digits=3, weight="turns") for name in (PAUC, *AT_OMEGA)},
    IMMEDIATE: Metric("0 to 2", digits=3, weight="immediate turns"),
    **{
        name: Metric("0 to 1", "lower", digits=3, weight=weight)
        for kind in (DUPLICATES, LITERAL)
        for name, weight in ((f"{kind}, turn mean", f"{kind}, turns"), (f"{kind}, ratio", f"{kind}, replies"))
    },
    "replies": Metric("a question", better=None),
    "outside": Metric("0 to 1", "lower", digits=3, weight="replies"),
}

Ratings = Mapping[str, Rating]


def points_of(turn: Turn, ratings: Ratings) -> list[Point]:
    """Time, s, and score (0, 1 or 2) of each rated reply of a turn."""
    rated = ((reply.time, _value(ratings, coverage_id(turn, reply))) for reply in turn.judged)
    return [(time, value - 1) for time, value in rated if value is not None]


def turn_scores(
    turns: Sequence[Turn], ratings: Ratings, *, rule: str, omega: float = 0.5, judged_duplicates: bool = True
) -> pd.DataFrame:
    """Score turns with the ratings of their pairs.

    Args:
        turns: Turns, from `turns_of`.
        ratings: ``custom_id`` -> rating, for `coverage_pairs` and `duplicate_pairs`.
        rule: ``proactivevideoqa`` or ``mmduet2``.
        omega: ω of the column ``PAUC``, in [0, 1].
        judged_duplicates: The ratings are also of `duplicate_pairs`.

    Returns:
        A row a turn: question_id, turn, number of replies in the span; PAUC at each ω (NaN: the judge rated no reply,
        or the turn is immediate); the immediate score; the share of duplicates among the replies after the first,
        literal and judged, with its number and denominator; errors: pairs without a rating.

    Raises:
        DuetError: The rule is not known, or ω is out of range.
    """
    check_omega(omega)
    omegas, found = {PAUC: omega, **AT_OMEGA}, find_rule(rule)
    rows = [_score(turn, ratings, found, omegas, judged_duplicates) for turn in turns]
    return pd.DataFrame(rows, columns=_columns(omegas))


def question_scores(
    turns: pd.DataFrame, predictions: Mapping[str, Prediction], references: Mapping[str, ProactiveItem], *, rule: str
) -> pd.DataFrame:
    """Make the scores of questions from those of their turns.

    Args:
        turns: From `turn_scores`.
        predictions: Question id -> prediction.
        references: Question id -> item.
        rule: As for `turn_scores`.

    Returns:
        A row a question: each metric, the mean over those of the question's turns or replies that have it; the columns
        that weight the metrics; and errors: pairs without a rating.

    Raises:
        DuetError: The rule is not known.
    """
    found, groups = find_rule(rule), turns.groupby("question_id", sort=False)
    table = groups[[PAUC, *AT_OMEGA, IMMEDIATE]].mean()
    table["turns"], table["immediate turns"] = groups[PAUC].count(), groups[IMMEDIATE].count()
    for name in (DUPLICATES, LITERAL):
        number, of = groups[f"{name}, number"].sum(), groups[f"{name}, of"].sum()
        table[f"{name}, turn mean"], table[f"{name}, turns"] = groups[name].mean(), groups[name].count()
        table[f"{name}, ratio"], table[f"{name}, replies"] = number / of.where(of > 0), of
    counts = [_count(predictions.get(str(name)), references[str(name)], found) for name in table.index]
    table["replies"] = [float(said) for said, _ in counts]
    table["outside"] = [outside / said if said else math.nan for said, outside in counts]
    table["errors"] = groups["errors"].sum()
    return table


def _columns(omegas: Iterable[str]) -> list[str]:
    shares = (f"{name}{part}" for name in (LITERAL, DUPLICATES) for part in ("", ", number", ", of"))
    return ["question_id", "turn", "replies", *omegas, IMMEDIATE, *shares, "errors"]


def _score(
    turn: Turn, ratings: Ratings, rule: Rule, omegas: Mapping[str, float], judged_duplicates: bool
) -> dict[str, Any]:
    judged, points = turn.judged, points_of(turn, ratings)
    is_known = not judged or bool(points)
    kept = rule.kept(points, turn.related_end)
    has_pauc = is_known and not turn.is_immediate
    timed, last = (pauc(kept, turn.span, omega=omega) if has_pauc else math.nan for omega in (0, 1))
    row = {name: timed + omega * (last - timed) for name, omega in omegas.items()}  # PAUC is linear in omega
    at_once = points[0][1] if points else START
    row[IMMEDIATE] = at_once if is_known and turn.is_immediate else math.nan
    literal = [reply.is_literal for reply in turn.replies[1:]]
    verdicts = _verdicts(turn, ratings) if judged_duplicates else []
    unread = verdicts.count(None)
    row |= _shares(turn, LITERAL, literal) | _shares(turn, DUPLICATES, [v for v in verdicts if v is not None])
    if not judged_duplicates:
        row[DUPLICATES] = math.nan
    identity = {"question_id": turn.question_id, "turn": turn.index, "replies": len(turn.replies)}
    return identity | row | {"errors": len(judged) - len(points) + unread}


def _verdicts(turn: Turn, ratings: Ratings) -> list[bool | None]:
    """Whether each reply after the first says nothing new; None: the judge's answer is an error."""
    found = []
    for number, reply in enumerate(turn.replies):
        value = YES if reply.is_literal else _value(ratings, duplicate_id(turn, number))
        found.append(None if value is None else value == YES)
    return [] if turn.is_immediate else found[1:]


def _shares(turn: Turn, name: str, verdicts: Sequence[bool]) -> dict[str, float]:
    """The share of a turn's duplicates, their number, and the number of replies that could be duplicates."""
    if turn.is_immediate:
        return {name: math.nan, f"{name}, number": 0, f"{name}, of": 0}
    alone = 0.0 if len(turn.replies) == 1 else math.nan
    share = sum(verdicts) / len(verdicts) if verdicts else alone
    return {name: share, f"{name}, number": sum(verdicts), f"{name}, of": len(verdicts)}


def _value(ratings: Ratings, custom_id: str) -> int | None:
    return rating.value if (rating := ratings.get(custom_id)) else None


def _count(prediction: Prediction | None, item: ProactiveItem, rule: Rule) -> tuple[int, int]:
    """The number of replies, and of those outside every span."""
    times = np.array([reply.time for reply in words(prediction, rule)])
    inside = [(start <= times) & (times <= end) for start, end in (answer.reply_timespan for answer in item.answer)]
    return len(times), int((~np.any(inside, axis=0)).sum())
