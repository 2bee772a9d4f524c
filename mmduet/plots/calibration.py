"""Calibration: what each policy can reach, and whether scores are probabilities."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from mmduet.plots.colors import HEAD_COLORS, INK, RESPONSE_COLOR, SERIES_COLORS
from mmduet.plots.style import add_note, finished, plain

DASHES = ("solid", "dash", "dot", "dashdot")
LARGEST = 28  # pixels of the marker of a bin that holds all frames


def operating_figure(
    tried: Mapping[str, pd.DataFrame],
    *,
    x: str,
    y: str,
    points: Mapping[str, tuple[float, float]] | None = None,
    title: str = "",
) -> go.Figure:
    """Draw one figure of merit over another for each policy, as its threshold moves.

    Args:
        tried: Policy -> its figures, a row a threshold (the index), with columns `x` and `y`.
        x: The column of the x-axis.
        y: The column of the y-axis.
        points: Name -> x and y of a point that is marked, such as the choice.
        title: The figure's title.
    """
    fig = go.Figure()
    for number, (name, table) in enumerate(tried.items()):
        fig.add_scatter(
            x=table[x],
            y=table[y],
            mode="lines",
            name=plain(name),
            line={
                "color": SERIES_COLORS[number % len(SERIES_COLORS)],
                "dash": DASHES[number // len(SERIES_COLORS) % len(DASHES)],
                "width": 2,
            },
            customdata=table.index,
            hovertemplate=f"{plain(name)}<br>threshold %{{customdata:.4g}}<br>{plain(x)} %{{x:.2f}}, {plain(y)} "
            "%{y:.3f}<extra></extra>",
        )
    for symbol, (name, (at_x, at_y)) in zip(("star", "circle", "x"), (points or {}).items(), strict=False):
        fig.add_scatter(
            x=[at_x],
            y=[at_y],
            mode="markers",
            name=plain(name),
            marker={"symbol": symbol, "size": 15, "color": RESPONSE_COLOR, "line": {"color": "white", "width": 1.5}},
            hovertemplate=f"{plain(name)}<br>{plain(x)} %{{x:.2f}}, {plain(y)} %{{y:.3f}}<extra></extra>",
        )
    fig.update_xaxes(title=plain(x), rangemode="tozero")
    fig.update_yaxes(title=plain(y), rangemode="tozero")
    rows = -(-(len(tried) + len(points or {})) // 2)
    fig.update_layout(legend={"entrywidth": 0.49, "entrywidthmode": "fraction", "font": {"size": 11}})
    return finished(fig, title, height=380, top=50 + 19 * rows)


def reliability_figure(tables: Mapping[str, Sequence[pd.DataFrame]], *, label: str, title: str = "") -> go.Figure:
    """Draw how often frames of each score have a label; on the diagonal, scores are probabilities.

    Args:
        tables: Head -> tables with ``frames``, ``score`` and ``frequency``, a row a bin: as the scores are and, if
            there is a second, scaled. A larger mark is of more frames.
        label: What the label says of a frame.
        title: The figure's title.
    """
    fig = go.Figure()
    fig.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": INK, "dash": "dot", "width": 1}, name="probabilities",
        hoverinfo="skip",
    )  # fmt: skip
    for head, versions in tables.items():
        color = HEAD_COLORS[head]
        for table, name, symbol in zip(versions, (head, f"{head}, scaled"), ("circle", "diamond-open"), strict=False):
            share = table["frames"] / max(table["frames"].sum(), 1)
            fig.add_scatter(
                x=table["score"],
                y=table["frequency"],
                mode="lines+markers",
                name=plain(name),
                line={"color": color, "width": 2, "dash": "solid" if symbol == "circle" else "dash"},
                marker={"symbol": symbol, "size": 6 + (LARGEST - 6) * share**0.5, "color": color, "opacity": 0.85},
                customdata=table["frames"],
                hovertemplate=f"{plain(name)}<br>score %{{x:.3f}}, frequency %{{y:.3f}}<br>%{{customdata}} frames"
                "<extra></extra>",
            )
    if not any(len(table) for versions in tables.values() for table in versions):
        add_note(fig, "no frames")
    fig.update_xaxes(title="mean score", range=[-0.03, 1.03])
    fig.update_yaxes(title=plain(label), range=[-0.05, 1.05])
    return finished(fig, title, height=380)
