"""The score of each reference span over time: a staircase that rises and falls with the replies."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from mmduet.errors import DuetError
from mmduet.plots.colors import HEAD_COLORS, INK
from mmduet.plots.style import faint, plain, wrapped_text
from mmduet.plots.timeline import (
    LETTER,
    SCORES,
    TIMELINE,
    Clock,
    Span,
    add_spans,
    add_turns,
    make_clock,
    stacked_panels,
    turn_rows,
    turn_times,
)
from mmduet.trace import Query, Response

COLORS = tuple(HEAD_COLORS.values())  # of staircases, in turn: neighbours may overlap
HEIGHT = 200  # pixels of the panel of scores


class ScoredSpan(NamedTuple):
    """A reference span and the steps of its score.

    Attributes:
        start: s.
        end: s, not before the start.
        label: The reference answer.
        value: The figure that the steps give; NaN: none.
        steps: Start, s, end, s, and score of each step, in order. The first is before any reply.
        replies: Time, s, and score of each reply that counts; each makes a step.
    """

    start: float
    end: float
    label: str
    value: float
    steps: Sequence[tuple[float, float, float]] = ()
    replies: Sequence[tuple[float, float]] = ()


def staircase_figure(
    spans: Sequence[ScoredSpan],
    *,
    queries: Sequence[Query] = (),
    responses: Sequence[Response] = (),
    highest: float = 2,
    title: str = "",
) -> go.Figure:
    """Draw reference spans, replies, and the score of each span over time.

    The area under a staircase, as a share of the panel over its span, is the figure of the span. A circle is a reply
    that counts, at its own time; a dotted line leads to its step.

    Args:
        spans: The reference spans.
        queries: The user's turns.
        responses: The model's turns.
        highest: The highest score.
        title: The figure's title.

    Raises:
        DuetError: A span or a step ends before it starts, or a score is not from 0 to `highest`.
    """
    _check(spans, highest)
    clock = make_clock(
        np.empty(0), [*turn_times(queries, responses), *(t for span in spans for t in (span.start, span.end))]
    )
    bands = sorted(Span(span.start, span.end, span.label) for span in spans)
    rows = turn_rows(queries, responses, bands, clock, replayed=False)
    fig = stacked_panels({TIMELINE: rows.height, SCORES: HEIGHT}, clock, title)
    add_turns(fig, rows, queries, responses, clock)
    add_spans(fig, rows, bands, clock)
    for number, span in enumerate(sorted(spans, key=lambda span: span[:2])):
        _add_staircase(fig, span, COLORS[number % len(COLORS)], highest, clock)
    ticks = {"tickvals": list(range(math.floor(highest) + 1)), "range": [-0.04 * highest, 1.2 * highest]}
    fig.layout["yaxis" + SCORES[1:]].update(title="score", **ticks)
    return fig


def _add_staircase(fig: go.Figure, span: ScoredSpan, color: str, highest: float, clock: Clock) -> None:
    value = "" if math.isnan(span.value) else f"{span.value:.2f}"
    fig.add_scatter(
        x=[time for start, end, _ in span.steps for time in (start, end)],
        y=[score for _, _, score in span.steps for _ in range(2)],
        yaxis=SCORES,
        mode="lines",
        line={"color": color, "width": 2},
        fill="tozeroy",
        fillcolor=faint(color, 0.22),
        hoverinfo="text",
        hovertext="<br>".join([wrapped_text(span.label, f"score, {span.start:.1f} to {span.end:.1f} s"), value]),
        name=f"score {plain(value)}",
        showlegend=False,
    )
    moved = [(step[0], *reply) for step, reply in zip(span.steps[1:], span.replies, strict=False)]
    fig.add_scatter(
        x=[x for step, time, _ in moved for x in (step, time, None)],
        y=[y for _, _, score in moved for y in (score, score, None)],
        yaxis=SCORES,
        mode="lines",
        line={"color": color, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
        name="from step to reply",
        showlegend=False,
    )
    fig.add_scatter(
        x=[time for time, _ in span.replies],
        y=[score for _, score in span.replies],
        yaxis=SCORES,
        mode="markers",
        marker={"color": color, "size": 8, "line": {"color": "#ffffff", "width": 1}},
        hovertemplate="reply at %{x:.1f} s: score %{y}<extra></extra>",
        name="reply",
        showlegend=False,
        cliponaxis=False,
    )
    if value and clock.pixels(span.end - span.start) >= LETTER * len(value):
        fig.add_annotation(
            text=value, x=(span.start + span.end) / 2, y=1.1 * highest, yref=SCORES, showarrow=False,
            font={"color": INK, "size": 12},
        )  # fmt: skip


def _check(spans: Sequence[ScoredSpan], highest: float) -> None:
    for span in spans:
        for start, end, score in ((span.start, span.end, 0.0), *span.steps):
            if not (-math.inf < start <= end < math.inf and 0 <= score <= highest):
                raise DuetError(
                    f"a span or step from {start:g} to {end:g} s with score {score:g}: start <= end, and scores are "
                    f"from 0 to {highest:g}."
                )
