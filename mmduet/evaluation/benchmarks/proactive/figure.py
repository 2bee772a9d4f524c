"""ProactiveVideoQA's picture: reference spans, replies, and the steps of the score whose area is PAUC."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from mmduet.evaluation.benchmarks.proactive.scores import points_of
from mmduet.evaluation.benchmarks.proactive.turns import Turn
from mmduet.evaluation.judges.rating import Rating
from mmduet.evaluation.metrics.pauc import Rule, find_rule, pauc, steps
from mmduet.evaluation.prediction_file import Prediction
from mmduet.plots import ScoredSpan, staircase_figure


def pauc_figure(
    prediction: Prediction,
    turns: Sequence[Turn],
    ratings: Mapping[str, Rating],
    *,
    rule: str = "proactivevideoqa",
    omega: float = 0.5,
    title: str = "",
) -> go.Figure:
    """Draw a question's turns and replies.

    Args:
        prediction: The question's prediction.
        turns: The question's turns.
        ratings: ``custom_id`` -> rating.
        rule: As in `mmduet.evaluation.proactivevideoqa.score`, and so is `omega`.
        omega: ω in [0, 1]: at 0 a step is at the time of its reply, and at 1 at the start of the span.
        title: The figure's title.

    Raises:
        DuetError: The rule is not known, or ω is out of range.
    """
    found = find_rule(rule)
    return staircase_figure(
        [_scored(turn, ratings, found, omega) for turn in turns],
        queries=prediction.trace.queries,
        responses=prediction.trace.responses,
        title=title,
    )


def _scored(turn: Turn, ratings: Mapping[str, Rating], rule: Rule, omega: float) -> ScoredSpan:
    points = points_of(turn, ratings)
    kept = rule.kept(points, turn.related_end)
    if turn.is_immediate or (turn.judged and not points):
        return ScoredSpan(*turn.span, turn.reference, math.nan, replies=kept)
    value = pauc(kept, turn.span, omega=omega)
    return ScoredSpan(*turn.span, turn.reference, value, steps(kept, turn.span, omega=omega), kept)
