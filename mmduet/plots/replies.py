"""Replies and the times at which they were due."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from mmduet.plots.colors import INK, RESPONSE_COLOR, SPAN_COLOR
from mmduet.plots.style import add_note, finished, plain, shortened, wrapped_text

ROW = 30  # pixels of a stream
MISSED = "#D55E00"
KINDS = {  # colour and symbol, by kind of mark
    "in time": (RESPONSE_COLOR, "circle"),
    "not due": (MISSED, "x"),
    "missed": (INK, "circle-open"),
}


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream whose replies are due at certain times.

    Attributes:
        name: Shown on the left.
        start: When it starts, s.
        end: When it ends, s.
        due: When replies are due, s.
        times: When the model replied, s.
        texts: The words of the replies.
        matches: For each due time the index of its reply; None: it has none.
    """

    name: str
    start: float
    end: float
    due: Sequence[float]
    times: Sequence[float]
    texts: Sequence[str]
    matches: Sequence[int | None] = field(default=())


def replies_figure(streams: Sequence[Stream], *, tolerance: float, title: str = "") -> go.Figure:
    """Draw streams one below the other: a band around each due time, and each reply in time or not.

    Args:
        streams: From top to bottom.
        tolerance: Half the width of a band, s.
        title: The figure's title.
    """
    fig = go.Figure()
    marks: dict[str, list[tuple[float, int, str]]] = {kind: [] for kind in KINDS}
    for row, stream in enumerate(streams):
        fig.add_shape(type="line", x0=stream.start, x1=stream.end, y0=row, y1=row, line={"color": INK, "width": 1})
        for due, match in zip(stream.due, stream.matches, strict=True):
            _add_band(fig, row, due - tolerance, due + tolerance)
            if match is None:
                marks["missed"].append((due, row, f"no reply to what was due at {due:g} s"))
        used = {index for index in stream.matches if index is not None}
        for index, (time, text) in enumerate(zip(stream.times, stream.texts, strict=True)):
            kind = "in time" if index in used else "not due"
            marks[kind].append((time, row, wrapped_text(text, f"{kind}, {time:g} s")))
    for kind, found in marks.items():
        _add_marks(fig, kind, found)
    if not streams:
        add_note(fig, "no stream")
    names = [shortened(stream.name, 32) for stream in streams]
    fig.update_yaxes(
        tickvals=list(range(len(streams))), ticktext=names, range=[len(streams) - 0.5, -0.5], showgrid=False
    )
    fig.update_xaxes(title="time (s)")
    return finished(fig, title, height=60 + ROW * max(1, len(streams)), hovermode="closest")


def _add_band(fig: go.Figure, row: int, start: float, end: float) -> None:
    fig.add_shape(
        type="rect", x0=start, x1=end, y0=row - 0.32, y1=row + 0.32, fillcolor=SPAN_COLOR, line={"width": 0},
        layer="below",
    )  # fmt: skip


def _add_marks(fig: go.Figure, kind: str, marks: Sequence[tuple[float, int, str]]) -> None:
    color, symbol = KINDS[kind]
    times, rows, texts = zip(*marks, strict=True) if marks else ((None,), (None,), ("",))
    fig.add_scatter(
        x=times, y=rows, mode="markers", name=f"{kind} ({len(marks)})", hoverinfo="text", hovertext=texts,
        marker={"color": color, "symbol": symbol, "size": 10, "line": {"width": 2 if symbol == "circle-open" else 0}},
    )  # fmt: skip


def differences_figure(
    differences: Mapping[str, float],
    *,
    bounds: Sequence[float],
    limit: float,
    silent: Sequence[str] = (),
    title: str = "",
) -> go.Figure:
    """Draw each question's first reply by its distance from the reference time, with bands for the bounds.

    Args:
        differences: Question -> the reply's time less the reference time, s; those beyond `limit` stand at the edge.
        bounds: Distances to shade, s.
        limit: Half the width of the axis, s.
        silent: Questions without a reply, which are counted in the title of the axis.
        title: The figure's title.
    """
    fig = go.Figure()
    for bound in sorted(bounds, reverse=True):
        fig.add_vrect(x0=-bound, x1=bound, fillcolor=SPAN_COLOR, opacity=0.28, line_width=0, layer="below")
    names = sorted(differences, key=lambda name: differences[name])
    shown = [max(-limit, min(limit, differences[name])) for name in names]
    fig.add_scatter(
        x=shown, y=list(range(len(names))), mode="markers", hoverinfo="text", showlegend=False,
        hovertext=[f"{plain(name)}: {differences[name]:+g} s" for name in names],
        marker={
            "size": 9,
            "color": [RESPONSE_COLOR if abs(differences[name]) <= max(bounds, default=0) else MISSED for name in names],
            "symbol": ["circle" if abs(differences[name]) <= limit else "triangle-left-open" for name in names],
        },
    )  # fmt: skip
    fig.add_vline(x=0, line={"color": INK, "dash": "dot"})
    if not names:
        add_note(fig, "no reply")
    quiet = f"<br>{len(silent)} {'question has' if len(silent) == 1 else 'questions have'} no reply" if silent else ""
    fig.update_xaxes(title=f"first reply less reference time (s){quiet}", range=[-limit * 1.04, limit * 1.04])
    fig.update_yaxes(title="questions", tickvals=[], showgrid=False)
    return finished(fig, title, height=max(180, 14 * len(names) + 80))
