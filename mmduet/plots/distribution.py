"""Histograms."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mmduet.plots.colors import HEAD_COLORS, INK
from mmduet.plots.style import add_note, finished, plain


def distribution_figure(values: Iterable[float], title: str, unit: str) -> go.Figure:
    """Draw a histogram with its median. Up to 41 whole numbers get a bar each.

    Args:
        values: nan and infinities are left out.
        title: The figure's title.
        unit: Unit of the values, the x-axis' title.
    """
    numbers = np.array(list(values), dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    fig = go.Figure()
    if len(numbers):
        counts, edges = np.histogram(numbers, bins=bins(numbers))
        fig.add_bar(**bar_shape(counts, edges), marker_color=HEAD_COLORS["informative"], name=plain(title))
        _add_median(fig, numbers)
    else:
        add_note(fig, "no values")
    fig.update_xaxes(title=plain(unit))
    fig.update_yaxes(title="count", rangemode="tozero")
    return finished(fig, f"{title} (n = {len(numbers):,})", height=250, showlegend=False)


def bins(numbers: np.ndarray) -> np.ndarray | int:
    """Choose bins for np.histogram: one per whole number over a range of 40, else the square root of the count."""
    low, high = numbers.min(), numbers.max()
    if high - low <= 40 and (numbers == np.round(numbers)).all():
        return np.arange(low - 0.5, high + 1)
    return int(np.clip(math.sqrt(len(numbers)), 5, 40))


def bar_shape(heights: np.ndarray, edges: np.ndarray) -> dict[str, Any]:
    """Make a histogram's bars: they touch, and show their bin on hover."""
    return {
        "x": (edges[:-1] + edges[1:]) / 2,
        "y": heights,
        "width": np.diff(edges),
        "marker": {"line": {"width": 0}},
        "customdata": np.stack([edges[:-1], edges[1:]], axis=1),
        "hovertemplate": "%{customdata[0]:.4~g} to %{customdata[1]:.4~g}: %{y:.4~g}<extra></extra>",
    }


def _add_median(fig: go.Figure, numbers: np.ndarray) -> None:
    median = float(np.median(numbers))
    fig.add_vline(median, line={"color": INK, "width": 1.6, "dash": "dash"})
    fig.add_annotation(text=f"median {median:,.4g}", x=median, y=1, yref="paper", yanchor="bottom", showarrow=False)
