"""The labels of every frame of a training sample."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mmduet.plots.colors import HEAD_COLORS
from mmduet.plots.strip import add_strip, film_strip, strip_panel
from mmduet.plots.style import UNLABELLED, add_note, checked_labels
from mmduet.plots.timeline import (
    CELLS,
    ROW,
    TIMELINE,
    Clock,
    add_turns,
    by_kind,
    end_of,
    make_clock,
    stacked_panels,
    turn_rows,
    turn_times,
)
from mmduet.policy import HEADS
from mmduet.trace import Query, Response

CELL_KINDS = (  # a cell's colour and meaning, by its code
    ("rgba(128,128,128,0.10)", "unlabelled"),
    ("rgba(128,128,128,0.42)", "0"),
    (HEAD_COLORS["informative"], "informative 1"),
    (HEAD_COLORS["relevance"], "relevance 1"),
)


def label_figure(
    times: Sequence[float] | np.ndarray,
    *,
    informative: Sequence[int] | np.ndarray | None = None,
    relevance: Sequence[int] | np.ndarray | None = None,
    turns: Iterable[Query | Response] = (),
    frames: Any = None,
    title: str = "",
) -> go.Figure:
    """Draw a training sample: the labels of its frames, its turns and its pictures.

    Args:
        times: [N], s.
        informative: [N], 0, 1 or -100 (unlabelled); None: no frame is labelled.
        relevance: Like `informative`.
        turns: The user's as Query, the assistant's as Response.
        frames: uint8 [N, 3, H, W].
        title: The figure's title.

    Raises:
        DuetError: A sequence is not N long, or holds another label.
    """
    times = np.asarray(times, dtype=float)
    labels = {
        head: checked_labels(head, given, len(times))
        for head, given in zip(HEADS, (informative, relevance), strict=True)
    }
    queries, responses = by_kind(turns)
    clock = make_clock(times, turn_times(queries, responses))
    pictures = [] if frames is None else film_strip(frames, times)
    rows = turn_rows(queries, responses, [], clock, replayed=False)
    fig = stacked_panels(strip_panel(pictures) | {TIMELINE: rows.height, CELLS: 2 * ROW + 10}, clock, title)
    add_strip(fig, pictures)
    add_turns(fig, rows, queries, responses, clock)
    _add_cells(fig, times, labels, clock)
    if not len(times):
        add_note(fig, "no frames")
    return fig


def _add_cells(fig: go.Figure, times: np.ndarray, labels: Mapping[str, np.ndarray], clock: Clock) -> None:
    """A row of cells per head, from each frame's time to the next one's."""
    if len(times):
        code = {UNLABELLED: 0, 0: 1}
        fig.add_heatmap(
            x=[*times.tolist(), end_of(times)],
            y=[0, 1, 2],
            z=[[code.get(value, 2 + row) for value in labels[head].tolist()] for row, head in enumerate(HEADS)],
            yaxis=CELLS,
            colorscale=_steps([color for color, _ in CELL_KINDS]),
            zmin=-0.5,
            zmax=3.5,
            showscale=False,
            xgap=1 if clock.pixels(np.diff([*times, end_of(times)]).min()) > 4 else 0,
            ygap=4,
            hoverinfo="text",
            hovertext=[_cell_texts(times, head, labels[head]) for head in HEADS],
            name="labels",
        )
    for color, name in CELL_KINDS:
        fig.add_scatter(
            x=[None],
            y=[None],
            yaxis=CELLS,
            mode="markers",
            name=name,
            marker={"symbol": "square", "size": 12, "color": color},
        )
    fig.layout["yaxis" + CELLS[1:]].update(range=[2, 0], tickvals=[0.5, 1.5], ticktext=HEADS, showgrid=False)


def _steps(colors: Sequence[str]) -> list[tuple[float, str]]:
    """A colour scale of equal steps without blending."""
    count = len(colors)
    return [(edge / count, color) for index, color in enumerate(colors) for edge in (index, index + 1)]


def _cell_texts(times: np.ndarray, head: str, labels: np.ndarray) -> list[str]:
    return [
        f"frame {index}, {time:.1f} s<br>{head}: {'unlabelled' if label == UNLABELLED else label}"
        for index, (time, label) in enumerate(zip(times.tolist(), labels.tolist(), strict=True))
    ]
