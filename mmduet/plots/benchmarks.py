"""Metrics of a benchmark over its settings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from mmduet.errors import DuetError
from mmduet.plots.colors import HEAD_COLORS, INK
from mmduet.plots.style import finished, plain

CELL = "window %{y}, threshold %{x}<br>%{z:.1f} %<extra></extra>"
BUTTONS = {"x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom", "showactive": True, "bgcolor": "rgba(0,0,0,0)"}


def sweep_figure(table: pd.DataFrame, *, chosen: tuple[int, float] | None = None, title: str = "") -> go.Figure:
    """Draw a metric over (window, threshold) as a heatmap. A menu selects the metric, a star marks its best cell.

    Args:
        table: Values in %, indexed by (window, threshold), with a column per metric.
        chosen: The setting in use, marked with a ring.
        title: The figure's title.

    Raises:
        DuetError: The table has no cells.
    """
    if table.empty:
        raise DuetError("the sweep has no cells: give at least one window and one threshold.")
    fig = go.Figure()
    for metric in table.columns:
        grid = table[metric].unstack()
        window, threshold = table[metric].idxmax()
        shown = metric == table.columns[0]
        fig.add_heatmap(
            x=grid.columns.round(6).astype(str), y=grid.index, z=grid.to_numpy(), colorscale="Viridis", visible=shown,
            hovertemplate=CELL, colorbar={"title": {"text": plain(f"{metric}, %")}, "thickness": 14},
        )  # fmt: skip
        fig.add_scatter(
            x=[str(round(threshold, 6))], y=[window], mode="markers", visible=shown, hoverinfo="skip",
            marker={"symbol": "star", "size": 15, "color": "white", "line": {"color": "black", "width": 1}},
        )  # fmt: skip
    if chosen is not None:
        fig.add_scatter(
            x=[str(round(chosen[1], 6))], y=[chosen[0]], mode="markers", hoverinfo="skip",
            marker={"symbol": "circle-open", "size": 19, "color": HEAD_COLORS["relevance"], "line": {"width": 3}},
        )  # fmt: skip
    fig.update_layout(updatemenus=[BUTTONS | {"buttons": _choices(list(table.columns), chosen is not None)}])
    fig.update_xaxes(title="threshold", type="category")
    fig.update_yaxes(title="window (frames on each side)")
    return finished(fig, title, height=380, showlegend=False)


def _choices(metrics: Sequence[str], ringed: bool) -> list[dict[str, Any]]:
    """A menu entry per metric: shows its two traces and the ring."""
    return [
        {
            "label": plain(metric),
            "method": "restyle",
            "args": [{"visible": [metric == other for other in metrics for _ in range(2)] + [True] * ringed}],
        }
        for metric in metrics
    ]


def curves_figure(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x: str,
    y: str,
    chosen: float | None = None,
    title: str = "",
) -> go.Figure:
    """Draw lines over a setting.

    Args:
        curves: name -> (xs, ys).
        x: The x-axis' title.
        y: The y-axis' title.
        chosen: The setting in use, marked with a line.
        title: The figure's title.
    """
    fig = go.Figure()
    for name, (xs, ys) in curves.items():
        fig.add_scatter(x=list(xs), y=np.asarray(ys, dtype=float), mode="lines+markers", name=plain(name))
    if chosen is not None:
        fig.add_vline(x=chosen, line={"color": INK, "dash": "dot"}, annotation_text="in use")
    fig.update_xaxes(title=plain(x))
    fig.update_yaxes(title=plain(y), rangemode="tozero")
    return finished(fig, title, height=300, hovermode="x unified")
