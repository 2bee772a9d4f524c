"""Several traces of one clip: what each model said, and its scores above those of the others."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mmduet.plots.colors import DECISION_COLOR, INK
from mmduet.plots.decision import accumulates, decision_name
from mmduet.plots.scores import add_heads, replayed_responses
from mmduet.plots.strip import add_strip, film_strip, strip_panel
from mmduet.plots.style import shortened
from mmduet.plots.timeline import (
    TIMELINE,
    Clock,
    Span,
    add_queries,
    add_responses,
    add_spans,
    checked_spans,
    label_rows,
    make_clock,
    model_rows,
    stacked_panels,
    turn_times,
)
from mmduet.policy import Policy, ThresholdPolicy, curve_of, has_threshold
from mmduet.trace import DuetTrace, Query, Response

SCORE_HEIGHT, SUM_HEIGHT = 104, 64  # pixels of a panel
FIRST_PANEL = 10  # number of the first model's y-axis; those before are the timeline's
NAME_ROOM = 1.28  # the top of a panel, in units of its scores, so that the name stands above them


@dataclass(frozen=True, slots=True)
class ComparedTrace:
    """A model, or a policy, in a comparison.

    Attributes:
        name: Shown with it.
        trace: Its trace.
        policy: It speaks where this policy would have spoken. None, or a trace without scores: where the model spoke.
    """

    name: str
    trace: DuetTrace
    policy: Policy | None = None

    @property
    def responses(self) -> list[Response]:
        """When and what it says, in order of time."""
        if self.policy is None or not len(self.trace):
            return sorted(self.trace.responses, key=lambda response: response.time)
        return replayed_responses(self.trace, self.policy)


def all_queries(compared: Iterable[ComparedTrace]) -> list[Query]:
    """The queries of all traces, each once, in order of time."""
    queries = dict.fromkeys(query for each in compared for query in each.trace.queries)
    return sorted(queries, key=lambda query: query.time)


def comparison_figure(
    compared: Sequence[ComparedTrace],
    *,
    frames: Any = None,
    times: Sequence[float] | np.ndarray = (),
    spans: Iterable[Span] = (),
    title: str = "",
) -> go.Figure:
    """Draw several traces of one clip over one time axis: a row of responses each, then a panel of scores each.

    A policy's threshold is a dashed line. A trace without scores has no panel.

    Args:
        compared: The traces.
        frames: The clip's frames for a filmstrip, uint8 [N, 3, H, W].
        times: Their times, s, [N].
        spans: Reference spans.
        title: The figure's title.

    Raises:
        DuetError: Frames and times disagree in number, or a span ends before it starts.
    """
    spans, queries = checked_spans(spans), all_queries(compared)
    said = {str(number): each.responses for number, each in enumerate(compared)}
    clock = _clock(compared, said.values(), queries, spans, times)
    pictures = [] if frames is None else film_strip(frames, times)
    rows = model_rows(queries, said, spans, clock)
    scored = {f"y{FIRST_PANEL + 2 * number}": each for number, each in enumerate(compared) if len(each.trace)}
    panels = strip_panel(pictures) | {TIMELINE: rows.height}
    for panel, each in scored.items():
        panels |= {panel: SCORE_HEIGHT} | ({_sum_panel(panel): SUM_HEIGHT} if accumulates(each.policy) else {})
    fig = stacked_panels(panels, clock, title)
    add_strip(fig, pictures)
    add_queries(fig, rows, queries, clock)
    for kind, responses in said.items():
        add_responses(fig, rows, kind, responses, clock)
    label_rows(fig, rows, {str(number): each.name for number, each in enumerate(compared)})
    add_spans(fig, rows, spans, clock, panels=list(scored))
    for panel, each in scored.items():
        _add_panel(fig, each, panel, clock)
    return fig


def _clock(
    compared: Iterable[ComparedTrace],
    said: Iterable[Sequence[Response]],
    queries: Sequence[Query],
    spans: Sequence[Span],
    times: Sequence[float] | np.ndarray,
) -> Clock:
    seen = np.unique(np.concatenate([np.asarray(times, dtype=float), *(each.trace.times for each in compared)]))
    marks = turn_times(queries, [response for responses in said for response in responses])
    return make_clock(seen, [*marks, *(span.end for span in spans)])


def _sum_panel(panel: str) -> str:
    return f"y{int(panel[1:]) + 1}"


def _add_panel(fig: go.Figure, each: ComparedTrace, panel: str, clock: Clock) -> None:
    """The scores of one trace with its name, and its policy's threshold."""
    add_heads(fig, each.trace, each.policy, panel)
    axis = fig.layout["yaxis" + panel[1:]]
    axis.update(range=[axis.range[0], axis.range[1] * NAME_ROOM], nticks=4)
    fig.add_annotation(
        text=f"<b>{shortened(each.name, 80)}</b>",
        x=0,
        xref="paper",
        xanchor="left",
        xshift=6,
        y=1,
        yref=f"{panel} domain",
        yanchor="top",
        showarrow=False,
        font={"size": 12},
    )
    if each.policy is not None and has_threshold(each.policy):
        own = accumulates(each.policy)
        if own:
            _add_sum(fig, each.trace, each.policy, _sum_panel(panel))
        _add_threshold(fig, each.policy.threshold, _sum_panel(panel) if own else panel, clock)


def _add_sum(fig: go.Figure, trace: DuetTrace, policy: ThresholdPolicy, panel: str) -> None:
    name = decision_name(policy, trace)
    fig.add_scatter(
        x=trace.times,
        y=curve_of(policy, trace),
        yaxis=panel,
        mode="lines" if len(trace) > 1 else "markers",
        line={"color": DECISION_COLOR, "width": 2},
        hovertemplate=f"{name} %{{y:.3f}}<br>at %{{x:.1f}} s<extra></extra>",
        name=name,
        legendgroup=name,
        showlegend=name not in {drawn.name for drawn in fig.data},
    )
    fig.layout["yaxis" + panel[1:]].update(title="sum", rangemode="tozero", nticks=3)


def _add_threshold(fig: go.Figure, threshold: float, panel: str, clock: Clock) -> None:
    if not math.isfinite(threshold):
        return
    fig.add_scatter(
        x=[clock.start, clock.end],
        y=[threshold, threshold],
        yaxis=panel,
        mode="lines",
        line={"color": INK, "width": 1.6, "dash": "dash"},
        hovertemplate=f"threshold {threshold:g}<extra></extra>",
        name="threshold",
        legendgroup="threshold",
        showlegend="threshold" not in {drawn.name for drawn in fig.data},
    )
