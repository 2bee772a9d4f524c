"""The scores, queries and responses of a trace, and when a policy would speak at other thresholds."""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from mmduet.plots.colors import DECISION_COLOR, HEAD_COLORS, INK, RESPONSE_COLOR
from mmduet.plots.decision import accumulates, decision_head, decision_name, policy_heads
from mmduet.plots.slider import add_slider, move, moving
from mmduet.plots.strip import add_strip, film_strip, strip_panel
from mmduet.plots.style import add_note
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
from mmduet.policy import (
    Policy,
    curve_of,
    fresh_policy,
    has_threshold,
    threshold_grid,
)
from mmduet.trace import DuetTrace, Response

NOT_SAID = "(not said in this run)"  # where another policy would have spoken


def score_figure(
    trace: DuetTrace,
    policy: Policy,
    *,
    frames: Any = None,
    spans: Iterable[Span] = (),
    title: str = "",
    slider: bool = True,
) -> go.Figure:
    """Draw a trace: its turns, both heads' scores, and when a policy would speak.

    Responses are numbered as in `responses_table`.

    Args:
        trace: The trace.
        policy: The policy of the session. With a threshold, the figure shows it and has a slider that moves it.
        frames: The trace's frames for a filmstrip, uint8 [N, 3, H, W].
        spans: Reference spans.
        title: The figure's title.
        slider: Whether to add the slider. Without it, `score_changes` gives what another threshold changes.

    Raises:
        DuetError: Frames and trace disagree in number, a span ends before it starts, or the object is not a policy.
    """
    spans = checked_spans(spans)
    clock = make_clock(trace.times, [*turn_times(trace.queries, trace.responses), *(span.end for span in spans)])
    pictures = [] if frames is None else film_strip(frames, trace.times)
    rows = turn_rows(trace.queries, trace.responses, spans, clock, replayed=True)
    panels = {TIMELINE: rows.height, SCORES: 210}
    panels |= {SUM: 120} if accumulates(policy) else {}
    fig = stacked_panels(panels | strip_panel(pictures), clock, title)
    add_turns(fig, rows, trace.queries, trace.responses, clock)
    add_spans(fig, rows, spans, clock)
    add_strip(fig, pictures)
    add_heads(fig, trace, policy)
    _add_replay(fig, trace, policy, clock, rows.middles("would speak")[0])
    move(fig, score_changes(fig, trace, policy))
    if slider and has_threshold(policy):
        policies = [policy.with_threshold(threshold) for threshold in threshold_grid(policy, [trace])]
        add_slider(fig, {other.threshold: score_changes(fig, trace, other) for other in policies}, policy.threshold)
    if not len(trace):
        add_note(fig, "no frames")
    return fig


def responses_table(trace: DuetTrace, spans: Iterable[Span] = ()) -> pd.DataFrame:
    """Tabulate the responses as `score_figure` numbers them.

    Returns:
        A row per response: number, time (s), text, and span, the labels of the reference spans that contain it (ends
        included), joined by "; ". All is plain text: escape it where it is rendered.
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


def replayed_responses(trace: DuetTrace, policy: Policy) -> list[Response]:
    """Responses at the frames where a policy would have spoken; NOT_SAID where this run has no words for them."""
    texts = {round(response.time, 3): response.text for response in trace.responses}
    times = trace.times[trace.replay(fresh_policy(policy))].tolist()
    return [Response(time, texts.get(round(time, 3), NOT_SAID)) for time in times]


def add_heads(fig: go.Figure, trace: DuetTrace, policy: Policy | None, panel: str = SCORES) -> None:
    """Add the trace's scores to a panel, and the decision curve where it is another score."""
    curves = {head: (trace.curve(head), HEAD_COLORS[head]) for head in trace.heads}
    used = policy_heads(policy, trace)
    if policy is not None and has_threshold(policy) and not accumulates(policy) and not decision_head(policy, trace):
        curves[decision_name(policy, trace)] = (curve_of(policy, trace), DECISION_COLOR)
        used = (*used, decision_name(policy, trace))
    listed = {drawn.name for drawn in fig.data}
    for name, (values, color) in curves.items():
        fig.add_scatter(
            x=trace.times,
            y=values,
            yaxis=panel,
            mode="lines" if len(trace) > 1 else "markers",
            line={"color": color, "width": 2.2 if name in used else 1.3},
            hovertemplate=f"{name} %{{y:.3f}}<br>at %{{x:.1f}} s<extra></extra>",
            name=name,
            legendgroup=name,
            showlegend=name not in listed,
        )
    top = max(1, len(policy_heads(policy, trace))) if len(curves) > len(trace.heads) else 1
    fig.layout["yaxis" + panel[1:]].update(title="score", range=[-0.03 * top, 1.04 * top])


def _add_replay(fig: go.Figure, trace: DuetTrace, policy: Policy, clock: Clock, row: float) -> None:
    """The marks of the replay, the threshold and the running sum, still empty. row: y of the marks, their meta."""
    fig.add_scatter(
        x=trace.times,
        yaxis=TIMELINE,
        mode="markers",
        cliponaxis=False,
        marker={"symbol": "circle-open", "size": 11, "color": RESPONSE_COLOR, "line": {"width": 2}},
        hovertemplate="would speak at %{x:.1f} s<extra></extra>",
        meta=row,
    )
    if has_threshold(policy):
        _add_threshold(fig, clock, SUM if accumulates(policy) else SCORES)
        if accumulates(policy):
            _add_running_sum(fig, trace, decision_name(policy, trace))


def _add_threshold(fig: go.Figure, clock: Clock, panel: str) -> None:
    fig.add_scatter(
        x=[clock.start, clock.end],
        yaxis=panel,
        mode="lines",
        line={"color": INK, "width": 1.6, "dash": "dash"},
        hoverinfo="skip",
        meta="threshold",
    )


def _add_running_sum(fig: go.Figure, trace: DuetTrace, name: str) -> None:
    fig.add_scatter(
        x=trace.times,
        yaxis=SUM,
        mode="lines" if len(trace) > 1 else "markers",
        line={"color": DECISION_COLOR, "width": 2},
        hovertemplate=f"{name} %{{y:.3f}}<br>at %{{x:.1f}} s<extra></extra>",
        meta=name,
    )
    fig.layout["yaxis" + SUM[1:]].update(title=name, rangemode="tozero")


def score_changes(fig: go.Figure, trace: DuetTrace, policy: Policy) -> dict[str, list[Any]]:
    """Compute what changes in a `score_figure` of this trace when its policy is replayed at this policy's threshold.

    Returns:
        {attribute: a value per moving trace}: the marks, then the threshold and the running sum where the figure has
        them.
    """
    row = fig.data[moving(fig)[0]].meta
    speaks = set(trace.replay(fresh_policy(policy)).tolist())
    changes: dict[str, list[Any]] = {
        "y": [[row if index in speaks else None for index in range(len(trace))]],
        "name": [f"would speak {len(speaks)}×"],
    }
    if has_threshold(policy):
        line = policy.threshold if math.isfinite(policy.threshold) else None
        changes["y"].append([line, line])
        changes["name"].append(f"threshold {policy.threshold:g}")
        if accumulates(policy):
            changes["y"].append(curve_of(policy, trace).round(3).tolist())
            changes["name"].append(decision_name(policy, trace))
    return changes
