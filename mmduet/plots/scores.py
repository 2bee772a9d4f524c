"""What a session saw and said, and what it would have said under other thresholds."""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from mmduet.plots.slider import add_slider, move, moving
from mmduet.plots.strip import add_strip, film_strip, strip_panel
from mmduet.plots.style import HEAD_COLORS, INK, SAID_COLOR, add_note
from mmduet.plots.timeline import (
    SCORES,
    SUM,
    TIMELINE,
    Clock,
    Span,
    add_spans,
    add_turns,
    checked_spans,
    make_clock,
    stacked_panels,
    turn_rows,
    turn_times,
)
from mmduet.policy import HEADS, ScoreSum, ScoreThreshold, need_score
from mmduet.replay import threshold_grid, with_threshold
from mmduet.trace import DuetTrace

SUM_COLOR = "#9467BD"
BOTH = " + ".join(HEADS)


def score_figure(
    trace: DuetTrace,
    policy: ScoreThreshold | ScoreSum,
    *,
    frames: Any = None,
    spans: Iterable[Span] = (),
    title: str = "",
    slider: bool = True,
) -> go.Figure:
    """What a session saw, said, and would have said under other thresholds (a slider replays them).

    policy: the one the session used; its threshold is the slider's first place. frames: uint8
    [N, 3, H, W], the trace's frames, for a filmstrip. slider: without one, `score_changes` tells what
    moves.
    Responses are numbered as in responses_table.
    Raises DuetError if frames and trace disagree, or a span ends before it starts.
    """
    spans = checked_spans(spans)
    clock = make_clock(trace.times, [*turn_times(trace.queries, trace.responses), *(span.end for span in spans)])
    pictures = [] if frames is None else film_strip(frames, trace.times)
    rows = turn_rows(trace.queries, trace.responses, spans, clock, replayed=True)
    panels = {TIMELINE: rows.height, SCORES: 210}
    panels |= {SUM: 120} if isinstance(policy, ScoreSum) else {}
    fig = stacked_panels(panels | strip_panel(pictures), clock, title)
    add_turns(fig, rows, trace.queries, trace.responses, clock)
    add_spans(fig, rows, spans, clock)
    add_strip(fig, pictures)
    _add_heads(fig, trace, policy)
    _add_replay(fig, trace, policy, clock, rows.middles("would speak")[0])
    move(fig, score_changes(fig, trace, policy))
    if slider:
        policies = [with_threshold(policy, threshold) for threshold in threshold_grid([trace], policy)]
        add_slider(fig, {other.threshold: score_changes(fig, trace, other) for other in policies}, policy.threshold)
    if not len(trace):
        add_note(fig, "no frames")
    return fig


def responses_table(trace: DuetTrace, spans: Iterable[Span] = ()) -> pd.DataFrame:
    """The responses as score_figure numbers them: number, time (s), text, span.

    span: the labels of the reference spans a response falls in (ends included), joined by "; ".
    All plain text: escape it where it is rendered.
    """
    spans = checked_spans(spans)
    rows = [
        (
            number,
            response.time,
            response.text,
            "; ".join(s.label for s in spans if s.start <= response.time <= s.end),
        )
        for number, response in enumerate(sorted(trace.responses, key=lambda r: r.time), start=1)
    ]
    return pd.DataFrame(rows, columns=["number", "time", "text", "span"])


def _add_heads(fig: go.Figure, trace: DuetTrace, policy: ScoreThreshold | ScoreSum) -> None:
    """Both heads' scores, and the need-score where it is a sum of them."""
    curves = {head: getattr(trace, head) for head in HEADS}
    colors = dict(HEAD_COLORS)
    if len(policy.heads) > 1 and isinstance(policy, ScoreThreshold):
        curves[BOTH] = trace.informative + trace.relevance
        colors[BOTH] = INK
    for name, values in curves.items():
        fig.add_scatter(
            x=trace.times,
            y=values,
            yaxis=SCORES,
            mode="lines" if len(trace) > 1 else "markers",
            line={"color": colors[name], "width": 2.2 if name in policy.heads or name == BOTH else 1.3},
            hovertemplate=f"{name} %{{y:.3f}}<br>at %{{x:.1f}} s<extra></extra>",
            name=name,
        )
    top = 1.0 if BOTH not in curves else 2.0
    fig.layout["yaxis" + SCORES[1:]].update(title="score", range=[-0.03 * top, 1.04 * top])


def _add_replay(fig: go.Figure, trace: DuetTrace, policy: ScoreThreshold | ScoreSum, clock: Clock, row: float) -> None:
    """Where the policy would speak, the threshold and the running sum, still empty. row: y of the marks, their meta."""
    _add_would_speak(fig, trace, row)
    _add_threshold(fig, clock, SUM if isinstance(policy, ScoreSum) else SCORES)
    if isinstance(policy, ScoreSum):
        _add_running_sum(fig, trace)


def _add_would_speak(fig: go.Figure, trace: DuetTrace, row: float) -> None:
    fig.add_scatter(
        x=trace.times,
        yaxis=TIMELINE,
        mode="markers",
        cliponaxis=False,
        marker={"symbol": "circle-open", "size": 11, "color": SAID_COLOR, "line": {"width": 2}},
        hovertemplate="would speak at %{x:.1f} s<extra></extra>",
        meta=row,
    )


def _add_threshold(fig: go.Figure, clock: Clock, panel: str) -> None:
    fig.add_scatter(
        x=[clock.start, clock.end],
        yaxis=panel,
        mode="lines",
        line={"color": INK, "width": 1.6, "dash": "dash"},
        hoverinfo="skip",
        meta="threshold",
    )


def _add_running_sum(fig: go.Figure, trace: DuetTrace) -> None:
    fig.add_scatter(
        x=trace.times,
        yaxis=SUM,
        mode="lines" if len(trace) > 1 else "markers",
        line={"color": SUM_COLOR, "width": 2},
        hovertemplate="running sum %{y:.3f}<br>at %{x:.1f} s<extra></extra>",
        meta="running sum",
    )
    fig.layout["yaxis" + SUM[1:]].update(title="running sum", rangemode="tozero")


def score_changes(fig: go.Figure, trace: DuetTrace, policy: ScoreThreshold | ScoreSum) -> dict[str, list[Any]]:
    """What moves in a `score_figure` of the trace where a policy like its own, at this threshold, is replayed.

    Returns {attribute: [of the marks, of the threshold, of the running sum if any]}.
    """
    policy = with_threshold(policy, policy.threshold)
    row = fig.data[moving(fig)[0]].meta
    spoken = set(trace.replay(policy).tolist())
    line = policy.threshold if math.isfinite(policy.threshold) else None
    changes: dict[str, list[Any]] = {
        "y": [[row if index in spoken else None for index in range(len(trace))], [line, line]],
        "name": [f"would speak {len(spoken)}×", f"threshold {policy.threshold:g}"],
    }
    if isinstance(policy, ScoreSum):
        changes["y"].append(_running_sum(trace, policy, spoken))
        changes["name"].append("running sum")
    return changes


def _running_sum(trace: DuetTrace, policy: ScoreSum, spoken: set[int]) -> list[float]:
    """The sum the policy compares with its threshold, frame by frame."""
    sums, total = [], 0.0
    for index, scores in enumerate(trace.scores()):
        total += need_score(scores, policy.heads)
        sums.append(round(total, 3))
        total = 0.0 if index in spoken else total
    return sums
