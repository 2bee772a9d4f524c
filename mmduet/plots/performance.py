"""Figures of a session's time per stage and of its latency per frame."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from mmduet.errors import DuetError
from mmduet.plots.colors import HEAD_COLORS, INK
from mmduet.plots.distribution import bins
from mmduet.plots.style import finished, plain


def stages_figure(runs: Mapping[str, Mapping[str, float]], *, title: str = "") -> go.Figure:
    """Draw a bar per run, stacked from its stages; "rest" is grey.

    Args:
        runs: name -> stage -> ms per frame.
        title: The figure's title.

    Raises:
        DuetError: There are no runs.
    """
    if not runs:
        raise DuetError("there are no runs to show: give at least one.")
    fig = go.Figure()
    for stage in next(iter(runs.values())):
        fig.add_bar(
            y=[plain(name) for name in runs], x=[stages[stage] for stages in runs.values()], name=plain(stage),
            marker_color=INK if stage == "rest" else None, orientation="h",
            hovertemplate="%{x:.2f} ms<extra>" + plain(stage) + "</extra>",
        )  # fmt: skip
    fig.update_layout(barmode="stack", legend_traceorder="normal")
    fig.update_xaxes(title="ms a frame")
    fig.update_yaxes(autorange="reversed")
    return finished(fig, title, height=80 + 50 * len(runs), top=100)  # the legend may take three lines


def latency_figure(milliseconds: Sequence[float] | np.ndarray, *, title: str = "") -> go.Figure:
    """Draw the latency of each frame and its histogram, with lines at p50 and p95.

    Args:
        milliseconds: Of each frame, in the order of the stream.
        title: The figure's title.

    Raises:
        DuetError: There are no frames.
    """
    waits = np.asarray(milliseconds, dtype=float)
    if not len(waits):
        raise DuetError("there are no latencies to show: watch at least one frame.")
    counts, edges = np.histogram(waits, bins=bins(waits))
    fig = make_subplots(1, 2, shared_yaxes=True, column_widths=[0.7, 0.3], horizontal_spacing=0.03)
    fig.add_scatter(
        x=np.arange(len(waits)), y=waits, mode="lines", line={"width": 1.4, "color": HEAD_COLORS["informative"]},
        hovertemplate="frame %{x}: %{y:.2f} ms<extra></extra>", row=1, col=1,
    )  # fmt: skip
    fig.add_bar(
        x=counts, y=(edges[:-1] + edges[1:]) / 2, width=np.diff(edges), orientation="h",
        marker={"color": HEAD_COLORS["informative"], "line": {"width": 0}},
        customdata=np.stack([edges[:-1], edges[1:]], axis=1),
        hovertemplate="%{customdata[0]:.2f} to %{customdata[1]:.2f} ms: %{x} frames<extra></extra>", row=1, col=2,
    )  # fmt: skip
    for percent, anchor, dash in ((50, "top", "dash"), (95, "bottom", "dot")):
        value = float(np.percentile(waits, percent))
        fig.add_hline(value, line={"color": INK, "width": 1.6, "dash": dash})
        fig.add_annotation(
            text=f"p{percent} {value:.3g} ms", x=1, xref="paper", xanchor="left", xshift=6, y=value, yref="y2",
            yanchor=anchor, showarrow=False,
        )  # fmt: skip
    fig.update_yaxes(rangemode="tozero")
    fig.update_yaxes(title="ms", col=1)
    fig.update_xaxes(title="frame", col=1)
    fig.update_xaxes(title="frames", col=2)
    return finished(fig, title, height=300, showlegend=False, bargap=0, margin_r=96)
