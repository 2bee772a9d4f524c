"""Metrics over thresholds, and when each example's replay speaks at the selected threshold."""

import math
from collections.abc import Sequence
from itertools import cycle, pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from mmduet.plots.colors import INK, RESPONSE_COLOR, SERIES_COLORS, SPAN_COLOR
from mmduet.plots.decision import accumulates
from mmduet.plots.slider import add_slider, move, moving
from mmduet.plots.style import faint, finished, plain, shortened, wrapped_text
from mmduet.plots.timeline import Span, checked_spans, end_of, make_clock, turn_times
from mmduet.policy import Policy, ThresholdPolicy, threshold_policy
from mmduet.trace import DuetTrace

SHARES, COUNTS, EXAMPLES = "y", "y2", "y3"  # the panels, by their axes
HEIGHTS = {SHARES: 190, COUNTS: 100}  # pixels
ROW = 24  # pixels of an example
GAP, AXIS = 16, 64  # pixels between panels that share an axis, and between others


class ReplayedExample(NamedTuple):
    """A row of `threshold_figure`.

    Attributes:
        name: Shown on the left.
        trace: At least one frame.
        spans: Reference spans.
    """

    name: str
    trace: DuetTrace
    spans: Sequence[Span] = ()


def threshold_figure(
    table: pd.DataFrame,
    examples: Sequence[ReplayedExample],
    policy: Policy,
    *,
    intervals: tuple[pd.DataFrame, pd.DataFrame] | None = None,
    slider: bool = True,
    title: str = "",
) -> go.Figure:
    """Draw metrics over thresholds; below, each example's responses and those of its replay.

    Args:
        table: A row per threshold, a column per metric, as of `TimingSweep.table`. Metrics that exceed 1 have a panel
            of their own.
        examples: A row each.
        policy: Its threshold is selected first.
        intervals: Lower and upper ends of the metrics' intervals, like `table`.
        slider: Whether to add a slider over the table's thresholds. Without it, `threshold_changes` gives what
            another threshold changes.
        title: The figure's title.

    Raises:
        DuetError: The policy has no threshold, or a span ends before it starts.
    """
    policy = threshold_policy(policy, "a figure over thresholds")
    panels = {name: COUNTS if (table[name] > 1).any() else SHARES for name in table.columns}
    fig = _empty_panels(sorted(set(panels.values())), examples, title)
    for (name, panel), color in zip(panels.items(), cycle(SERIES_COLORS), strict=False):
        if intervals is not None:
            _add_interval(fig, intervals[0][name], intervals[1][name], panel, color)
        _add_curve(fig, table[name], panel, color)
    _add_rows(fig, examples)
    _add_moving(fig, table, panels)
    if accumulates(policy):
        fig.update_xaxes(type="log", dtick="D2", selector=0)
    move(fig, threshold_changes(fig, table, examples, policy))
    if slider:
        policies = [policy.with_threshold(float(threshold)) for threshold in table.index]
        changes = {other.threshold: threshold_changes(fig, table, examples, other) for other in policies}
        add_slider(fig, changes, policy.threshold)
    return fig


# panels


def _empty_panels(panels: Sequence[str], examples: Sequence[ReplayedExample], title: str) -> go.Figure:
    """The panels from the top: metrics over the threshold, then the examples' rows over time."""
    heights = {panel: HEIGHTS[panel] for panel in panels} | ({EXAMPLES: ROW * len(examples)} if examples else {})
    gaps = [AXIS if after == EXAMPLES else GAP for _, after in pairwise(heights)]
    total = sum(heights.values()) + sum(gaps)
    fig, top = go.Figure(), total
    for (panel, height), gap in zip(heights.items(), [*gaps, 0], strict=False):
        fig.layout["yaxis" + panel[1:]] = {
            "domain": [(top - height) / total, top / total],
            "anchor": "x2" if panel == EXAMPLES else "x",
            "fixedrange": True,
        }
        top -= height + gap
    fig.update_layout(xaxis={"title": "threshold", "anchor": panels[-1]})
    if SHARES in panels:
        fig.update_layout(yaxis={"range": [-0.03, 1.05]})
    if COUNTS in panels:
        fig.update_layout(yaxis2={"rangemode": "tozero"})
    if examples:
        _scale_rows(fig, examples)
    return finished(fig, title, height=total + 50, top=92, hovermode="closest", barmode="overlay")


def _scale_rows(fig: go.Figure, examples: Sequence[ReplayedExample]) -> None:
    """One time axis for all examples, and their names."""
    times = [float(time) for example in examples for time in example.trace.times[[0, -1]]]
    marks = [end_of(example.trace.times) for example in examples]
    marks += [time for e in examples for time in turn_times(e.trace.queries, e.trace.responses)]
    clock = make_clock(np.array(sorted(times)), [*marks, *(span[1] for e in examples for span in e.spans)])
    fig.update_layout(
        xaxis2={"title": "time (s)", "anchor": EXAMPLES, "range": [clock.start, clock.end]},
        yaxis3={
            "range": [len(examples), 0],
            "tickvals": [row + 0.5 for row in range(len(examples))],
            "ticktext": [shortened(example.name, 24) for example in examples],
            "showgrid": False,
        },
    )


# traces that do not move


def _add_interval(fig: go.Figure, low: pd.Series, high: pd.Series, panel: str, color: str) -> None:
    both = pd.concat([low, high], axis=1).dropna()
    both = both[np.isfinite(both.index)]
    fig.add_scatter(
        x=[*both.index, *both.index[::-1]],
        y=[*both.iloc[:, 0], *both.iloc[::-1, 1]],
        yaxis=panel,
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=faint(color, 0.12),
        hoverinfo="skip",
        showlegend=False,
    )


def _add_curve(fig: go.Figure, values: pd.Series, panel: str, color: str) -> None:
    values = values[np.isfinite(values.index)]
    fig.add_scatter(
        x=values.index,
        y=values,
        yaxis=panel,
        mode="lines+markers",
        line={"color": color, "width": 2},
        marker={"size": 5},
        hovertemplate="threshold %{x}<br>%{fullData.name} %{y:.3f}<extra></extra>",
        name=plain(values.name),
        showlegend=False,
    )


def _add_rows(fig: go.Figure, examples: Sequence[ReplayedExample]) -> None:
    """Each example's length, its spans and its responses."""
    shared = {"xaxis": "x2", "yaxis": EXAMPLES, "orientation": "h"}
    starts = [float(example.trace.times[0]) for example in examples]
    fig.add_bar(
        **shared,
        base=starts,
        x=[end_of(example.trace.times) - start for example, start in zip(examples, starts, strict=True)],
        y=[row + 0.5 for row in range(len(examples))],
        width=0.9,
        marker={"color": faint("#808080"), "line": {"width": 0}},
        hoverinfo="skip",
        name="watched",
        showlegend=False,
    )
    spans = [(row, span) for row, example in enumerate(examples) for span in checked_spans(example.spans)]
    fig.add_bar(
        **shared,
        base=[span.start for _, span in spans],
        x=[span.end - span.start for _, span in spans],
        y=[row + 0.5 for row, _ in spans],
        width=0.62,
        marker={"color": faint(SPAN_COLOR, 0.6), "line": {"color": "#a07a2a", "width": 1}, "cornerradius": 3},
        hoverinfo="text",
        hovertext=[wrapped_text(s.label, f"reference, {s.start:.1f} to {s.end:.1f} s") for _, s in spans],
        name="reference",
    )
    responses = [(row, response) for row, example in enumerate(examples) for response in example.trace.responses]
    fig.add_scatter(
        x=[response.time for _, response in responses],
        y=[row + 0.5 for row, _ in responses],
        xaxis="x2",
        yaxis=EXAMPLES,
        mode="markers",
        marker={"size": 7, "color": RESPONSE_COLOR},
        hoverinfo="text",
        hovertext=[wrapped_text(response.text, f"said at {response.time:.1f} s") for _, response in responses],
        name=f"said {len(responses)}×",
    )


# traces that move with the threshold; their meta says what they show


def _add_moving(fig: go.Figure, table: pd.DataFrame, panels: dict[str, str]) -> None:
    for (column, panel), color in zip(enumerate(panels.values()), cycle(SERIES_COLORS), strict=False):
        marker = {"size": 10, "color": color, "line": {"color": "#ffffff", "width": 1.5}}
        fig.add_scatter(yaxis=panel, mode="markers", marker=marker, hoverinfo="skip", meta=["metric", column])
    for panel in sorted(set(panels.values())):
        top = 1.0 if panel == SHARES else float(table[[n for n in panels if panels[n] == panel]].max().max())
        fig.add_scatter(
            y=[0, top],
            yaxis=panel,
            mode="lines",
            line={"color": INK, "width": 1.6, "dash": "dash"},
            hoverinfo="skip",
            showlegend=panel == min(panels.values()),
            meta=["line", 0],
        )
    fig.add_scatter(
        xaxis="x2",
        yaxis=EXAMPLES,
        mode="markers",
        marker={"symbol": "circle-open", "size": 13, "color": RESPONSE_COLOR, "line": {"width": 1.8}},
        hovertemplate="would speak at %{x:.1f} s<extra></extra>",
        meta=["marks", 0],
    )


def threshold_changes(
    fig: go.Figure, table: pd.DataFrame, examples: Sequence[ReplayedExample], policy: ThresholdPolicy
) -> dict[str, list[Any]]:
    """Compute what changes in a `threshold_figure` of this table and these examples at this policy's threshold.

    Returns:
        {attribute: a value per moving trace}.
    """
    threshold = policy.threshold
    at = threshold if math.isfinite(threshold) else None
    changes: list[tuple[list[Any], list[Any], str]] = []
    for index in moving(fig):
        kind, column = fig.data[index].meta
        if kind == "metric":
            value = _value_at(table.iloc[:, column], threshold)
            known = not math.isnan(value)
            name = f"{plain(table.columns[column])} {f'{value:.2f}' if known else '–'}"
            changes.append(([at], [value if known else None], name))
        elif kind == "line":
            changes.append(([at, at], list(fig.data[index].y), f"threshold {threshold:g}"))
        else:
            changes.append(_would_speak(examples, policy.with_threshold(threshold)))
    return {name: [change[place] for change in changes] for place, name in enumerate(("x", "y", "name"))}


def _value_at(values: pd.Series, threshold: float) -> float:
    """A metric at a threshold, interpolated linearly."""
    if threshold in values.index:
        return float(values[threshold])
    return float(np.interp(threshold, values.index, values, left=math.nan, right=math.nan))


def _would_speak(examples: Sequence[ReplayedExample], policy: Policy) -> tuple[list[float], list[float], str]:
    """Times and rows of all marks, and the trace's name."""
    marks = [
        (round(float(example.trace.times[frame]), 3), row + 0.5)
        for row, example in enumerate(examples)
        for frame in example.trace.replay(policy)
    ]
    return [time for time, _ in marks], [row for _, row in marks], f"would speak {len(marks)}×"
