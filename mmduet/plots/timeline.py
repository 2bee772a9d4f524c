"""Figures over time: their panels, queries, responses and reference spans."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from mmduet.errors import DuetError
from mmduet.plots.colors import INK, QUERY_COLOR, RESPONSE_COLOR, SPAN_COLOR
from mmduet.plots.style import faint, finished, shortened, wrapped_text
from mmduet.trace import Query, Response

PLOT_WIDTH = 800  # pixels of the time axis on a usual page; decides which text fits next to a mark
ROW = 25  # pixels of a row of marks
MARK = 19  # pixels of a numbered mark
TEXT = 11  # size of the text next to marks and in bands, pixels
LETTER = 6.0  # pixels of a letter of that text, on average
GAP = 12  # pixels between panels
MARKS = {"asked": ("diamond", 12, QUERY_COLOR), "said": ("circle", MARK, RESPONSE_COLOR)}

# The panels of a figure over time, each with its own y-axis under one x-axis.
TIMELINE, SCORES, SUM, CELLS, STRIP = "y", "y2", "y3", "y4", "y5"


class Span(NamedTuple):
    """A reference span.

    Attributes:
        start: s.
        end: s, not before the start.
        label: What happens there.
    """

    start: float
    end: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Clock:
    """The seconds that a figure shows."""

    start: float
    end: float

    def pixels(self, seconds: float) -> float:
        """Convert seconds to pixels on a page of usual width."""
        return seconds / (self.end - self.start) * PLOT_WIDTH

    def seconds(self, pixels: float) -> float:
        """Convert pixels to seconds."""
        return pixels / PLOT_WIDTH * (self.end - self.start)


def end_of(times: NDArray[np.float64]) -> float:
    """Estimate when the last frame ends, s: a median step after its time."""
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    return float(times[-1]) + (step if step > 0 else 1.0)


def make_clock(times: NDArray[np.float64], marks: Iterable[float]) -> Clock:
    """A clock that shows all frames and all marks."""
    seen = [*([float(times[0]), end_of(times)] if len(times) else []), *marks]
    start, end = min(seen, default=0.0), max(seen, default=1.0)
    end = end if end > start else start + 1.0
    edge = (end - start) * MARK / 2 / PLOT_WIDTH  # so that no mark is cut at the ends
    return Clock(start - edge, end + edge)


def turn_times(queries: Sequence[Query], responses: Sequence[Response]) -> list[float]:
    """List the times of all turns, s."""
    return [query.time for query in queries] + [response.time for response in responses]


def by_kind(turns: Iterable[Query | Response]) -> tuple[list[Query], list[Response]]:
    """Separate queries and responses."""
    turns = list(turns)
    return [t for t in turns if isinstance(t, Query)], [t for t in turns if isinstance(t, Response)]


def _lanes(starts: Iterable[float], ends: Iterable[float], most: int) -> list[int]:
    """A row for each interval, in order of start, so that none overlap while `most` rows suffice."""
    free: list[float] = []  # when each row is free again
    chosen = []
    for start, end in zip(starts, ends, strict=True):
        row = next((row for row, until in enumerate(free) if until <= start), len(free))
        if row == most:
            row = free.index(min(free))
        free[row : row + 1] = [end]
        chosen.append(row)
    return chosen


@dataclass(frozen=True, slots=True)
class _Rows:
    """The timeline's rows, counted from the top. first: each kind's first row; lanes: of each mark."""

    first: dict[str, int]
    lanes: dict[str, list[int]]
    count: int

    @property
    def height(self) -> int:
        """Pixels."""
        return ROW * max(1, self.count)

    def middles(self, kind: str) -> list[float]:
        """The y of each mark of a kind."""
        return [self.first[kind] + lane + 0.5 for lane in self.lanes[kind]]


def turn_rows(
    queries: Sequence[Query],
    responses: Sequence[Response],
    spans: Sequence[Span],
    clock: Clock,
    *,
    replayed: bool,
) -> _Rows:
    """Choose enough rows to keep marks and bands apart: at most three for responses and five for spans."""
    lanes = {"asked": _mark_lanes(queries, clock, most=2), "said": _mark_lanes(responses, clock, most=3)}
    if replayed:
        lanes["would speak"] = [0]
    return _placed(lanes, spans)


def model_rows(
    queries: Sequence[Query], said: Mapping[str, Sequence[Response]], spans: Sequence[Span], clock: Clock
) -> _Rows:
    """Choose rows as `turn_rows` does, of several models: at most two for the responses of each."""
    lanes = {"asked": _mark_lanes(queries, clock, most=2)}
    lanes |= {name: _mark_lanes(responses, clock, most=2) or [0] for name, responses in said.items()}
    return _placed(lanes, spans)


def _mark_lanes(turns: Sequence[Query | Response], clock: Clock, *, most: int) -> list[int]:
    times = sorted(turn.time for turn in turns)
    return _lanes(times, [time + clock.seconds(MARK) for time in times], most=most)


def _placed(lanes: dict[str, list[int]], spans: Sequence[Span]) -> _Rows:
    """Rows of these kinds, from the top, and below them those of the spans."""
    lanes = lanes | {"reference": _lanes([s.start for s in spans], [s.end for s in spans], most=5)}
    first, count = dict[str, int](), 0
    for kind, chosen in lanes.items():
        first[kind] = count
        count += max(chosen, default=-1) + 1
    return _Rows(first, lanes, count)


def stacked_panels(panels: Mapping[str, int], clock: Clock, title: str) -> go.Figure:
    """Make an empty figure of panels {y-axis: pixels}, from the top, over one time axis."""
    total = sum(panels.values()) + GAP * len(panels)
    fig, top = go.Figure(), total - GAP
    for axis, pixels in panels.items():
        domain = [(top - pixels) / total, top / total]
        fig.layout["yaxis" + axis[1:]] = {"domain": domain, "anchor": "x", "fixedrange": True}
        top -= pixels + GAP
    fig.update_xaxes(
        title="time (s)",
        range=[clock.start, clock.end],
        anchor=list(panels)[-1],
        showspikes=True,
        spikemode="across",
        spikethickness=1,
        spikedash="dot",
        spikecolor=INK,
    )
    return finished(fig, title, height=total + 50, hovermode="closest")


def add_turns(
    fig: go.Figure, rows: _Rows, queries: Sequence[Query], responses: Sequence[Response], clock: Clock
) -> None:
    """Add queries and responses as marks, with as much of their text as fits."""
    add_queries(fig, rows, queries, clock)
    add_responses(fig, rows, "said", responses, clock)
    label_rows(fig, rows)


def add_queries(fig: go.Figure, rows: _Rows, queries: Sequence[Query], clock: Clock) -> None:
    """Add queries as marks, and as lines through all panels."""
    queries = sorted(queries, key=lambda q: q.time)
    for query in queries:
        fig.add_shape(
            type="line",
            x0=query.time,
            x1=query.time,
            y0=0,
            y1=fig.layout.yaxis.domain[1],
            yref="paper",
            line={"color": QUERY_COLOR, "width": 1.2, "dash": "dash"},
            layer="below",
        )
    _add_marks(fig, rows, "asked", queries, clock, verb="asked")


def add_responses(fig: go.Figure, rows: _Rows, kind: str, responses: Sequence[Response], clock: Clock) -> None:
    """Add responses as numbered marks in the rows of their kind."""
    _add_marks(fig, rows, kind, sorted(responses, key=lambda r: r.time), clock, verb="said")


def _add_marks(
    fig: go.Figure, rows: _Rows, kind: str, turns: Sequence[Query | Response], clock: Clock, *, verb: str
) -> None:
    """Marks of one kind, in order of time; responses are numbered.

    A mark too close to the next one is small and has no number.
    """
    if not turns:
        return
    symbol, size, color = MARKS[verb]
    times, middles, lanes = [turn.time for turn in turns], rows.middles(kind), rows.lanes[kind]
    rooms = [clock.pixels(room) for room in _rooms(times, lanes, clock.end)]
    roomy = [room >= MARK - 4 for room in rooms]
    fig.add_scatter(
        x=times,
        y=middles,
        yaxis=TIMELINE,
        mode="markers+text" if verb == "said" else "markers",
        marker={
            "symbol": symbol,
            "color": color,
            "line": {"width": 0},
            "opacity": 1,
            "size": [size if r else 8 for r in roomy],
        },
        text=[str(number) if r else "" for number, r in enumerate(roomy, start=1)],
        textfont={"color": "#ffffff", "size": [10 if n < 100 else 8 for n in range(1, len(turns) + 1)]},
        hoverinfo="text",
        hovertext=[wrapped_text(t.text, f"{verb} at {t.time:.1f} s") for t in turns],
        name=kind,
        showlegend=False,
        cliponaxis=False,
    )
    _add_band(
        fig,
        starts=[time + clock.seconds(size / 2) for time in times],
        widths=[clock.seconds(max(0, room - MARK - 2)) for room in rooms],
        rows=middles,
        text=[shortened(t.text, int((r - MARK - 8) / LETTER)) for t, r in zip(turns, rooms, strict=True)],
        textfont={"color": INK, "size": TEXT},
        marker={"color": "rgba(0,0,0,0)", "line": {"width": 0}},
        hoverinfo="skip",
        name=f"{kind}, text",
    )


def _add_band(
    fig: go.Figure,
    *,
    starts: Sequence[float],
    widths: Sequence[float],
    rows: Sequence[float],
    text: Sequence[str],
    **style: Any,
) -> None:
    """Bars in the timeline with text inside, which plotly hides where it does not fit."""
    fig.add_bar(
        orientation="h",
        base=starts,
        x=widths,
        y=rows,
        width=0.8,
        yaxis=TIMELINE,
        text=text,
        textposition="inside",
        insidetextanchor="start",
        textangle=0,
        showlegend=False,
        **style,
    )
    fig.update_layout(uniformtext={"minsize": TEXT, "mode": "hide"}, barmode="overlay")


def _rooms(times: Sequence[float], lanes: Sequence[int], end: float) -> list[float]:
    """Seconds from each mark to the next one in its lane, or to the end."""
    following: dict[int, float] = {}
    rooms = []
    for time, lane in zip(reversed(times), reversed(lanes), strict=True):
        rooms.append(following.get(lane, end) - time)
        following[lane] = time
    return rooms[::-1]


def label_rows(fig: go.Figure, rows: _Rows, names: Mapping[str, str] | None = None) -> None:
    """Write the names of the timeline's rows on the left. names: kind -> text where it is not the kind itself."""
    named = {kind: first for kind, first in rows.first.items() if rows.lanes[kind]}
    fig.update_layout(
        yaxis={
            "range": [max(1, rows.count), 0],
            "tickvals": [first + (max(rows.lanes[kind]) + 1) / 2 for kind, first in named.items()],
            "ticktext": [shortened((names or {}).get(kind, kind), 24) for kind in named],
            "showgrid": False,
        }
    )


def add_spans(
    fig: go.Figure, rows: _Rows, spans: Sequence[Span], clock: Clock, *, panels: Sequence[str] = (SCORES,)
) -> None:
    """Add reference spans as labelled bands, and as faint ones behind the curves of these panels."""
    if not spans:
        return
    _add_band(
        fig,
        starts=[span.start for span in spans],
        widths=[span.end - span.start for span in spans],
        rows=rows.middles("reference"),
        text=[shortened(s.label, int((clock.pixels(s.end - s.start) - 8) / LETTER)) for s in spans],
        textfont={"color": "#2b2b2b", "size": TEXT},
        marker={"color": SPAN_COLOR, "line": {"color": "#a07a2a", "width": 1}, "cornerradius": 3},
        hoverinfo="text",
        hovertext=[wrapped_text(s.label, f"reference, {s.start:.1f} to {s.end:.1f} s") for s in spans],
        name="reference",
    )
    for span, panel in product(spans, panels):
        fig.add_shape(
            type="rect",
            x0=span.start,
            x1=span.end,
            y0=0,
            y1=1,
            yref=f"{panel} domain",
            fillcolor=faint(SPAN_COLOR),
            line={"color": faint(SPAN_COLOR, 0.5), "width": 1},
            layer="below",
        )


def checked_spans(spans: Iterable[Span]) -> list[Span]:
    """Sort the spans by their starts. Raises DuetError for one that ends before it starts."""
    spans = sorted((Span(*span) for span in spans), key=lambda span: (span.start, span.end))
    for span in spans:
        if not -math.inf < span.start <= span.end < math.inf:
            raise DuetError(f"span {span}: its start and end are seconds, start <= end.")
    return spans
