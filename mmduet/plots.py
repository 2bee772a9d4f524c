"""Plotly figures of what a session saw and said, of labels, of a training run and of scores.

Every function takes plain data and returns a figure; nothing here knows a model, a file or a widget.
Importing this module registers the template `mmduet`: transparent, in tones that read on a light page
and on a dark one, with colours that stay apart for colour-blind eyes (after Okabe and Ito). A head
has the same colour in every figure. Text of models and annotations is shown as written, never as markup.
"""

import base64
import html
import io
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from PIL import Image
from plotly.subplots import make_subplots
from sklearn.metrics import auc, roc_curve

from mmduet.errors import DuetError
from mmduet.policy import HEADS, ScoreSum, ScoreThreshold, need_score
from mmduet.trace import DuetTrace, Query, Response

HEAD_COLORS = {"informative": "#1283C8", "relevance": "#D55E00"}
SAID_COLOR = "#00805F"
ASKED_COLOR = "#CC79A7"
SPAN_COLOR = "#ECCB83"
INK = "#787d85"  # text and neutral lines: contrast 4.2 on white, 4.5 on #111
SUM_COLOR = "#9467BD"
BOTH = " + ".join(HEADS)
GRID = "rgba(128,128,128,0.22)"
UNLABELLED = -100

PLOT_WIDTH = 800  # pixels the time axis usually gets on a page; decides what fits beside a mark
ROW = 25  # pixels of a row of marks
MARK = 19  # pixels of a numbered mark
TEXT = 11  # size of the text beside marks and in bands, pixels
LETTER = 6.0  # pixels of a letter of that text, on average
GAP = 12  # pixels between panels

CELL_KINDS = (  # a cell's colour and meaning, by its code
    ("rgba(128,128,128,0.10)", "unlabelled"),
    ("rgba(128,128,128,0.42)", "0"),
    (HEAD_COLORS["informative"], "informative 1"),
    (HEAD_COLORS["relevance"], "relevance 1"),
)
LOSSES = {  # a Trainer's key: its name and colour
    "loss": ("loss", INK),
    "lm_loss": ("language loss", SAID_COLOR),
    "video_loss": ("video loss", "#CC79A7"),
}
MARKS = {"asked": ("diamond", 12, ASKED_COLOR), "said": ("circle", MARK, SAID_COLOR)}
SLIDER_STYLE = {
    "bgcolor": GRID,
    "activebgcolor": INK,
    "bordercolor": GRID,
    "borderwidth": 1,
    "tickcolor": INK,
    "minorticklen": 0,
    "ticklen": 4,
}

# The panels of a figure over time, each with its own y-axis under one x-axis.
TIMELINE, SCORES, SUM, CELLS, STRIP = "y", "y2", "y3", "y4", "y5"

pio.templates["mmduet"] = go.layout.Template(
    layout={
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK, "size": 12, "family": "system-ui, -apple-system, 'Segoe UI', sans-serif"},
        "title": {"x": 0, "xref": "paper", "font": {"size": 16}, "pad": {"b": 8}},
        "colorway": [*HEAD_COLORS.values(), SAID_COLOR, ASKED_COLOR, "#56B4E9", "#E69F00"],
        "xaxis": {
            "gridcolor": GRID,
            "linecolor": GRID,
            "zeroline": False,
            "automargin": True,
            "ticks": "",
            "title": {"standoff": 4},
        },
        "yaxis": {
            "gridcolor": GRID,
            "linecolor": GRID,
            "zeroline": False,
            "automargin": True,
            "ticks": "",
            "ticklabelstandoff": 12,
        },
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": INK, "activecolor": HEAD_COLORS["informative"]},
        "hoverlabel": {
            "bgcolor": "#22262e",
            "bordercolor": INK,
            "font": {"color": "#ffffff", "size": 13},
            "align": "left",
        },
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
        "margin": {"l": 70, "r": 56, "t": 40, "b": 48},
    }
)


class Span(NamedTuple):
    """A reference span. start, end: s, start <= end. label: what happens there."""

    start: float
    end: float
    label: str = ""


class Thumbnail(NamedTuple):
    """One picture of a filmstrip. start, end: its slot, s; time: of its frame, s. uri: a JPEG data URI."""

    start: float
    end: float
    time: float
    uri: str


# --- figures ------------------------------------------------------------------------------------------


def score_figure(
    trace: DuetTrace,
    policy: ScoreThreshold | ScoreSum,
    *,
    frames: Any = None,
    spans: Iterable[Span] = (),
    title: str = "",
) -> go.Figure:
    """What a session saw, said, and would have said under other thresholds (a slider replays them).

    policy: the one the session used; its threshold is the slider's first place. frames: uint8
    [N, 3, H, W], the trace's frames, for a filmstrip. Responses are numbered as in responses_table.
    Raises DuetError if frames and trace disagree, or a span ends before it starts.
    """
    spans = _checked_spans(spans)
    clock = _clock(trace.times, [*_turn_times(trace.queries, trace.responses), *(span.end for span in spans)])
    pictures = [] if frames is None else film_strip(frames, trace.times)
    rows = _rows(trace.queries, trace.responses, spans, clock, replayed=True)
    panels = {TIMELINE: rows.height, SCORES: 210}
    panels |= {SUM: 120} if isinstance(policy, ScoreSum) else {}
    fig = _stack(panels | _strip_panel(pictures), clock, title)
    _add_turns(fig, rows, trace.queries, trace.responses, clock)
    _add_spans(fig, rows, spans, clock)
    _add_strip(fig, pictures)
    _add_heads(fig, trace, policy)
    _add_replay(fig, trace, policy, clock, rows.middles("would speak")[0])
    if not len(trace):
        _note(fig, "no frames")
    return fig


def label_figure(
    times: Sequence[float] | np.ndarray,
    *,
    informative: Sequence[int] | np.ndarray | None = None,
    relevance: Sequence[int] | np.ndarray | None = None,
    turns: Iterable[Query | Response] = (),
    frames: Any = None,
    title: str = "",
) -> go.Figure:
    """A training example: the labels of its frames, its turns and its pictures.

    times: [N], s. informative, relevance: [N], 0, 1 or -100 (unlabelled); None: no frame is labelled.
    turns: the user's as Query, the assistant's as Response. frames: uint8 [N, 3, H, W].
    Raises DuetError if a sequence is not N long or holds another label.
    """
    times = np.asarray(times, dtype=float)
    labels = {
        head: _checked_labels(head, given, len(times))
        for head, given in zip(HEADS, (informative, relevance), strict=True)
    }
    queries, responses = _by_kind(turns)
    clock = _clock(times, _turn_times(queries, responses))
    pictures = [] if frames is None else film_strip(frames, times)
    rows = _rows(queries, responses, [], clock, replayed=False)
    fig = _stack(_strip_panel(pictures) | {TIMELINE: rows.height, CELLS: 2 * ROW + 10}, clock, title)
    _add_strip(fig, pictures)
    _add_turns(fig, rows, queries, responses, clock)
    _add_cells(fig, times, labels, clock)
    if not len(times):
        _note(fig, "no frames")
    return fig


def training_figure(log_history: Iterable[Mapping[str, Any]], *, title: str = "") -> go.Figure:
    """A run's losses and the heads' AUCs over its steps; what was not logged is not drawn.

    log_history: rows of a Trainer's `state.log_history`. Read are step and, with or without the prefix
    `eval_`, loss, lm_loss, video_loss, and eval_informative_auc, eval_relevance_auc.
    """
    history = list(log_history)
    has_auc = any(_logged(history, f"eval_{head}_auc")[0] for head in HEADS)
    fig = make_subplots(rows=1 + has_auc, cols=1, shared_xaxes=True, vertical_spacing=0.09)
    _add_losses(fig, history)
    if has_auc:
        _add_head_aucs(fig, history)
    if not fig.data:
        _note(fig, "nothing logged yet")
    fig.update_xaxes(title="step", row=1 + has_auc, col=1)
    return _finish(fig, title, height=260 + 230 * has_auc, top=92, hovermode="x unified")


def auc_figure(
    labels: Sequence[int] | np.ndarray, scores: Sequence[float] | np.ndarray, head: str, *, title: str = ""
) -> go.Figure:
    """How well one head's scores tell its labels apart: the ROC curve and the scores by label.

    labels: [N], 0, 1 or -100 (left out). scores: [N], probabilities. head: "informative" or "relevance".
    Raises DuetError if the head is unknown or the lengths differ.
    """
    if head not in HEADS:
        raise DuetError(f"head={head!r}: name one of {HEADS}.")
    scores = np.asarray(scores, dtype=float)
    labels = _checked_labels(head, labels, len(scores))
    fig = make_subplots(rows=1, cols=2, horizontal_spacing=0.12)
    _add_roc(fig, labels, scores, head)
    _add_score_histograms(fig, labels, scores, head)
    return _finish(fig, title, height=320)


def distribution_figure(values: Iterable[float], title: str, unit: str) -> go.Figure:
    """A histogram with its median: durations, gaps, turns. Whole numbers get a bar each while few.

    values: NaN and infinities are left out. unit: of the values, the x-axis' title.
    """
    numbers = np.array(list(values), dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    fig = go.Figure()
    if len(numbers):
        counts, edges = np.histogram(numbers, bins=_bins(numbers))
        fig.add_bar(**_bars(counts, edges), marker_color=HEAD_COLORS["informative"], name=plain(title))
        _add_median(fig, numbers)
    else:
        _note(fig, "no values")
    fig.update_xaxes(title=plain(unit))
    fig.update_yaxes(title="count", rangemode="tozero")
    return _finish(fig, f"{title} (n = {len(numbers):,})", height=250, showlegend=False)


def responses_table(trace: DuetTrace, spans: Iterable[Span] = ()) -> pd.DataFrame:
    """The responses as score_figure numbers them: number, time (s), text, span.

    span: the labels of the reference spans a response falls in (ends included), joined by "; ".
    All plain text: escape it where it is rendered.
    """
    spans = _checked_spans(spans)
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


# --- pictures -----------------------------------------------------------------------------------------


def thumbnail(frame: Any, *, height: int = 96) -> str:
    """A frame as a JPEG data URI, shrunk to `height` pixels. frame: uint8 [3, H, W]; array or tensor."""
    array = np.asarray(frame.cpu() if hasattr(frame, "cpu") else frame)
    if array.ndim != 3 or array.shape[0] != 3 or array.dtype != np.uint8:
        raise DuetError(f"frame: {array.dtype} {list(array.shape)}; a frame is uint8 [3, H, W].")
    picture = Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0)))
    if picture.height > height:
        picture = picture.resize((max(1, round(picture.width * height / picture.height)), height))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=70, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def film_strip(
    frames: Any, times: Sequence[float] | np.ndarray, *, count: int | None = None, height: int = 96
) -> list[Thumbnail]:
    """At most `count` pictures, evenly over the time the frames cover; each shows its slot's middle.

    frames: uint8 [N, 3, H, W], array or tensor. times: [N], s, ascending. count: 12 for wide frames and
    16 for others by default. Raises DuetError if frames and times disagree in number.
    """
    times = np.asarray(times, dtype=float)
    if len(frames) != len(times):
        raise DuetError(f"frames: {len(frames)} of them but {len(times)} times; give one frame a time.")
    if not len(times):
        return []
    if count is None:
        count = 12 if frames[0].shape[-1] > 1.2 * frames[0].shape[-2] else 16
    edges = np.linspace(times[0], _end(times), min(count, len(times)) + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    shown = np.searchsorted(times, middles, side="right") - 1
    return [
        Thumbnail(float(start), float(end), float(times[index]), thumbnail(frames[index], height=height))
        for start, end, index in zip(edges[:-1], edges[1:], shown, strict=True)
    ]


# --- text ---------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Text so escaped that plotly shows it as written: no tags, no entities, no TeX between dollars."""
    # plotly knows &lt; and numbers but not &quot;, so quotes stay
    return html.escape(str(text), quote=False).replace("$", "&#36;")


def _short(text: str, letters: int) -> str:
    """The text on one line of at most `letters`, escaped; nothing where too little would be left."""
    text = " ".join(str(text).split())
    if len(text) <= letters:
        return plain(text)
    return plain(text[: letters - 1].rstrip()) + "…" if letters >= 8 else ""


def _wrapped(text: str, heading: str = "") -> str:
    """A hover text: the heading in bold, then the text in lines of 60, escaped line by line."""
    lines = textwrap.wrap(str(text), 60, max_lines=20, placeholder=" …")
    return "<br>".join(([f"<b>{plain(heading)}</b>"] if heading else []) + [plain(line) for line in lines])


# --- time, rows, panels -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Clock:
    """The seconds a figure shows."""

    start: float
    end: float

    def pixels(self, seconds: float) -> float:
        """What the seconds take on a page of usual width."""
        return seconds / (self.end - self.start) * PLOT_WIDTH

    def seconds(self, pixels: float) -> float:
        """What the pixels show."""
        return pixels / PLOT_WIDTH * (self.end - self.start)


def _end(times: np.ndarray) -> float:
    """When the last frame ends, s: a usual step after its time."""
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    return float(times[-1]) + (step if step > 0 else 1.0)


def _clock(times: np.ndarray, marks: Iterable[float]) -> _Clock:
    """A clock that shows all frames and all marks."""
    seen = [*([float(times[0]), _end(times)] if len(times) else []), *marks]
    start, end = min(seen, default=0.0), max(seen, default=1.0)
    end = end if end > start else start + 1.0
    edge = (end - start) * MARK / 2 / PLOT_WIDTH  # so that no mark is cut at the ends
    return _Clock(start - edge, end + edge)


def _turn_times(queries: Sequence[Query], responses: Sequence[Response]) -> list[float]:
    return [query.time for query in queries] + [response.time for response in responses]


def _by_kind(turns: Iterable[Query | Response]) -> tuple[list[Query], list[Response]]:
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


def _rows(
    queries: Sequence[Query],
    responses: Sequence[Response],
    spans: Sequence[Span],
    clock: _Clock,
    *,
    replayed: bool,
) -> _Rows:
    """Rows enough that marks and bands keep apart: three for responses, five for spans at most."""
    mark = clock.seconds(MARK)
    lanes = {
        kind: _lanes(times, [time + mark for time in times], most=most)
        for kind, times, most in (
            ("asked", sorted(q.time for q in queries), 2),
            ("said", sorted(r.time for r in responses), 3),
        )
    }
    if replayed:
        lanes["would speak"] = [0]
    lanes["reference"] = _lanes([s.start for s in spans], [s.end for s in spans], most=5)
    first, count = {}, 0
    for kind, chosen in lanes.items():
        first[kind] = count
        count += max(chosen, default=-1) + 1
    return _Rows(first, lanes, count)


def _stack(panels: Mapping[str, int], clock: _Clock, title: str) -> go.Figure:
    """An empty figure of panels {y-axis: pixels}, from the top, over one time axis."""
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
    return _finish(fig, title, height=total + 50, hovermode="closest")


def _finish(fig: go.Figure, title: str, *, height: int, top: int = 70, **layout: Any) -> go.Figure:
    """The template and the title. top: pixels of title, buttons and legend; height: of all below."""
    fig.update_layout(template="mmduet", height=height + top, margin_t=top, **layout)
    if title:
        fig.update_layout(title={"text": _short(title, 110), "y": 1, "yanchor": "top", "pad": {"t": 14}})
    return fig


def _note(fig: go.Figure, text: str) -> None:
    fig.add_annotation(text=text, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font={"size": 15})


# --- parts of the figures over time -------------------------------------------------------------------


def _add_turns(
    fig: go.Figure, rows: _Rows, queries: Sequence[Query], responses: Sequence[Response], clock: _Clock
) -> None:
    """What was asked and said, as marks with as much of the text beside them as fits."""
    queries = sorted(queries, key=lambda q: q.time)
    responses = sorted(responses, key=lambda r: r.time)
    for query in queries:
        fig.add_shape(
            type="line",
            x0=query.time,
            x1=query.time,
            y0=0,
            y1=fig.layout.yaxis.domain[1],
            yref="paper",
            line={"color": ASKED_COLOR, "width": 1.2, "dash": "dash"},
            layer="below",
        )
    _add_marks(fig, rows, "asked", queries, clock)
    _add_marks(fig, rows, "said", responses, clock)
    _label_rows(fig, rows)


def _add_marks(fig: go.Figure, rows: _Rows, kind: str, turns: Sequence[Query | Response], clock: _Clock) -> None:
    """Marks of one kind, numbered if said; without room before the next they are small and bare."""
    if not turns:
        return
    symbol, size, color = MARKS[kind]
    times, middles, lanes = [turn.time for turn in turns], rows.middles(kind), rows.lanes[kind]
    rooms = [clock.pixels(room) for room in _rooms(times, lanes, clock.end)]
    roomy = [room >= MARK - 4 for room in rooms]
    fig.add_scatter(
        x=times,
        y=middles,
        yaxis=TIMELINE,
        mode="markers+text" if kind == "said" else "markers",
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
        hovertext=[_wrapped(t.text, f"{kind} at {t.time:.1f} s") for t in turns],
        name=kind,
        showlegend=False,
        cliponaxis=False,
    )
    _add_band(
        fig,
        starts=[time + clock.seconds(size / 2) for time in times],
        widths=[clock.seconds(max(0, room - MARK - 2)) for room in rooms],
        rows=middles,
        text=[_short(t.text, int((r - MARK - 8) / LETTER)) for t, r in zip(turns, rooms, strict=True)],
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
    """Bars in the timeline with text inside, which plotly hides where a narrow page leaves no room."""
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


def _label_rows(fig: go.Figure, rows: _Rows) -> None:
    """Name the timeline's rows at their left."""
    named = {kind: first for kind, first in rows.first.items() if rows.lanes[kind]}
    fig.update_layout(
        yaxis={
            "range": [max(1, rows.count), 0],
            "tickvals": [first + (max(rows.lanes[kind]) + 1) / 2 for kind, first in named.items()],
            "ticktext": list(named),
            "showgrid": False,
        }
    )


def _add_spans(fig: go.Figure, rows: _Rows, spans: Sequence[Span], clock: _Clock) -> None:
    """Reference spans as labelled bands, and as faint ones behind the curves."""
    if not spans:
        return
    _add_band(
        fig,
        starts=[span.start for span in spans],
        widths=[span.end - span.start for span in spans],
        rows=rows.middles("reference"),
        text=[_short(s.label, int((clock.pixels(s.end - s.start) - 8) / LETTER)) for s in spans],
        textfont={"color": "#2b2b2b", "size": TEXT},
        marker={"color": SPAN_COLOR, "line": {"color": "#a07a2a", "width": 1}, "cornerradius": 3},
        hoverinfo="text",
        hovertext=[_wrapped(s.label, f"reference, {s.start:.1f} to {s.end:.1f} s") for s in spans],
        name="reference",
    )
    for span in spans:
        fig.add_shape(
            type="rect",
            x0=span.start,
            x1=span.end,
            y0=0,
            y1=1,
            yref=f"{SCORES} domain",
            fillcolor=_faint(SPAN_COLOR),
            line={"color": _faint(SPAN_COLOR, 0.5), "width": 1},
            layer="below",
        )


def _strip_panel(pictures: Sequence[Thumbnail]) -> dict[str, int]:
    """The filmstrip's panel, as high as its pictures get on a wide page; none without pictures."""
    if not pictures:
        return {}
    picture = Image.open(io.BytesIO(base64.b64decode(pictures[0].uri.partition(",")[2])))
    return {STRIP: int(min(84, max(36, 1.25 * PLOT_WIDTH / len(pictures) * picture.height / picture.width)))}


def _add_strip(fig: go.Figure, pictures: Sequence[Thumbnail]) -> None:
    """Pictures in their slots of the time axis; their times on hover."""
    if not pictures:
        return
    middles = [(picture.start + picture.end) / 2 for picture in pictures]
    for middle, picture in zip(middles, pictures, strict=True):
        fig.add_layout_image(
            source=picture.uri,
            x=middle,
            y=0.5,
            xref="x",
            yref=STRIP,
            sizex=(picture.end - picture.start) * 0.97,
            sizey=1,
            xanchor="center",
            yanchor="middle",
        )
    fig.add_scatter(
        x=middles,
        y=[0.5] * len(middles),
        yaxis=STRIP,
        mode="markers",
        marker={"size": 30, "opacity": 0},
        hoverinfo="text",
        hovertext=[f"frame at {picture.time:.1f} s" for picture in pictures],
        name="frames",
        showlegend=False,
    )
    fig.layout["yaxis" + STRIP[1:]].update(range=[0, 1], visible=False)


def _add_heads(fig: go.Figure, trace: DuetTrace, policy: ScoreThreshold | ScoreSum) -> None:
    """Both heads' scores, and the need-score where it is a sum of them."""
    curves = {head: getattr(trace, head) for head in HEADS}
    colors = dict(HEAD_COLORS)
    if len(policy.heads) > 1 and isinstance(policy, ScoreThreshold):
        curves[BOTH] = trace.informative + trace.relevance
        colors[BOTH] = INK
    for name, values in curves.items():
        fig.add_scatter(
            x=trace.times,
            y=values,
            yaxis=SCORES,
            mode="lines" if len(trace) > 1 else "markers",
            line={"color": colors[name], "width": 2.2 if name in policy.heads or name == BOTH else 1.3},
            hovertemplate=f"{name} %{{y:.3f}}<br>at %{{x:.1f}} s<extra></extra>",
            name=name,
        )
    top = 1.0 if BOTH not in curves else 2.0
    fig.layout["yaxis" + SCORES[1:]].update(title="score", range=[-0.03 * top, 1.04 * top])


def _add_replay(fig: go.Figure, trace: DuetTrace, policy: ScoreThreshold | ScoreSum, clock: _Clock, row: float) -> None:
    """The threshold, where it would speak, and a slider that replays others. row: y of the marks."""
    first = len(fig.data)
    _add_would_speak(fig, trace)
    _add_threshold(fig, clock, SUM if isinstance(policy, ScoreSum) else SCORES)
    if isinstance(policy, ScoreSum):
        _add_running_sum(fig, trace)
    drawn = list(range(first, len(fig.data)))
    thresholds = _thresholds(trace, policy)
    changes = [_replayed(trace, policy, threshold, row) for threshold in thresholds]
    active = thresholds.index(policy.threshold)
    for index, y, name in zip(drawn, *changes[active].values(), strict=True):
        fig.data[index].update(y=y, name=name)
    _add_slider(fig, thresholds, changes, active, drawn)


def _add_would_speak(fig: go.Figure, trace: DuetTrace) -> None:
    fig.add_scatter(
        x=trace.times,
        yaxis=TIMELINE,
        mode="markers",
        cliponaxis=False,
        marker={"symbol": "circle-open", "size": 11, "color": SAID_COLOR, "line": {"width": 2}},
        hovertemplate="would speak at %{x:.1f} s<extra></extra>",
    )


def _add_threshold(fig: go.Figure, clock: _Clock, panel: str) -> None:
    fig.add_scatter(
        x=[clock.start, clock.end],
        yaxis=panel,
        mode="lines",
        line={"color": INK, "width": 1.6, "dash": "dash"},
        hoverinfo="skip",
    )


def _add_running_sum(fig: go.Figure, trace: DuetTrace) -> None:
    fig.add_scatter(
        x=trace.times,
        yaxis=SUM,
        mode="lines" if len(trace) > 1 else "markers",
        line={"color": SUM_COLOR, "width": 2},
        hovertemplate="running sum %{y:.3f}<br>at %{x:.1f} s<extra></extra>",
    )
    fig.layout["yaxis" + SUM[1:]].update(title="running sum", rangemode="tozero")


def _replayed(
    trace: DuetTrace, policy: ScoreThreshold | ScoreSum, threshold: float, row: float
) -> dict[str, list[Any]]:
    """What a threshold decides, {attribute: [of the marks, of the line, of the running sum if any]}."""
    policy = type(policy)(threshold, heads=policy.heads)  # the given one may be in use: it keeps its sum
    spoken = set(trace.replay(policy).tolist())
    line = threshold if math.isfinite(threshold) else None
    changes: dict[str, list[Any]] = {
        "y": [[row if index in spoken else None for index in range(len(trace))], [line, line]],
        "name": [f"would speak {len(spoken)}×", f"threshold {threshold:g}"],
    }
    if isinstance(policy, ScoreSum):
        changes["y"].append(_running_sum(trace, policy, spoken))
        changes["name"].append("running sum")
    return changes


def _running_sum(trace: DuetTrace, policy: ScoreSum, spoken: set[int]) -> list[float]:
    """The sum the policy compares with its threshold, frame by frame."""
    sums, total = [], 0.0
    for index, scores in enumerate(trace.scores()):
        total += need_score(scores, policy.heads)
        sums.append(round(total, 3))
        total = 0.0 if index in spoken else total
    return sums


def _add_slider(
    fig: go.Figure,
    thresholds: Sequence[float],
    changes: Sequence[Mapping[str, Any]],
    active: int,
    drawn: Sequence[int],
) -> None:
    """A slider that gives the traces numbered `drawn` what changes at each threshold."""
    steps = [
        {"method": "restyle", "args": [change, drawn], "label": f"{threshold:g}", "value": repr(threshold)}
        for threshold, change in zip(thresholds, changes, strict=True)
    ]
    shown = {
        "prefix": "What if the threshold were ",
        "suffix": f"  (used: {thresholds[active]:g})",
        "font": {"size": 14},
    }
    slider = {"active": active, "steps": steps, "currentvalue": shown, "pad": {"t": 52, "b": 0}, **SLIDER_STYLE}
    fig.update_layout(margin_b=130, height=fig.layout.height + 82, sliders=[slider])


def _thresholds(trace: DuetTrace, policy: ScoreThreshold | ScoreSum) -> list[float]:
    """About 20 round thresholds from always to never speaking, and the policy's own; ascending."""
    needs = np.array([need_score(scores, policy.heads) for scores in trace.scores()])
    needs = needs[np.isfinite(needs)]
    if isinstance(policy, ScoreSum):
        grid = _sum_grid(needs)
    else:
        flat = not len(needs) or needs.min() == needs.max()
        grid = _round_grid(*((0.0, len(policy.heads)) if flat else (needs.min(), needs.max())))
    others = [value for value in grid if f"{value:g}" != f"{policy.threshold:g}"]
    return sorted([*others, policy.threshold])


def _round_grid(low: float, high: float) -> list[float]:
    """Steps of 1, 2 or 5 times a power of ten that cover low to high, 20 or a little more."""
    rough = max((high - low) / 20, 1e-5)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.6g}") for index in range(first, last + 1)]


def _sum_grid(needs: np.ndarray) -> list[float]:
    """Evenly spaced ratios, two digits each, from one frame's usual need-score to all of them together."""
    if not needs.sum() > 0:
        return [0.0, 1.0]
    return sorted({float(f"{value:.2g}") for value in np.geomspace(needs.mean(), needs.sum() * 1.05, 21)})


def _add_cells(fig: go.Figure, times: np.ndarray, labels: Mapping[str, np.ndarray], clock: _Clock) -> None:
    """A row of cells a head, from each frame's time to the next one's."""
    if len(times):
        code = {UNLABELLED: 0, 0: 1}
        fig.add_heatmap(
            x=[*times.tolist(), _end(times)],
            y=[0, 1, 2],
            z=[[code.get(value, 2 + row) for value in labels[head].tolist()] for row, head in enumerate(HEADS)],
            yaxis=CELLS,
            colorscale=_steps([color for color, _ in CELL_KINDS]),
            zmin=-0.5,
            zmax=3.5,
            showscale=False,
            xgap=1 if clock.pixels(np.diff([*times, _end(times)]).min()) > 4 else 0,
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


# --- parts of the other figures -----------------------------------------------------------------------


def _logged(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """The steps at which a key was logged with a finite value, and its values."""
    rows = [(row["step"], float(row[key])) for row in history if row.get(key) is not None and "step" in row]
    rows = [row for row in rows if math.isfinite(row[1])]
    return [step for step, _ in rows], [value for _, value in rows]


def _smoothed(values: Sequence[float]) -> np.ndarray:
    """The mean over a centred window of about a tenth of the values, cut off at the ends."""
    window = np.ones(2 * (len(values) // 20) + 1)
    count = np.convolve(np.ones(len(values)), window, mode="same")
    return np.convolve(values, window, mode="same") / count


def _add_losses(fig: go.Figure, history: Sequence[Mapping[str, Any]]) -> None:
    """Each part of the loss: as logged (light), smoothed, and in evaluation (dotted, with marks)."""
    for key, (name, color) in LOSSES.items():
        steps, values = _logged(history, key)
        if steps:
            shared = {"x": steps, "legendgroup": key, "row": 1, "col": 1}
            fig.add_scatter(
                **shared,
                y=values,
                line={"color": color, "width": 1},
                opacity=0.3,
                mode="lines",
                name=f"{name}, as logged",
                showlegend=False,
                hoverinfo="skip",
            )
            fig.add_scatter(
                **shared,
                y=_smoothed(values),
                customdata=values,
                line={"color": color, "width": 2.4},
                mode="lines" if len(steps) > 1 else "markers",
                name=name,
                hovertemplate=f"{name} %{{customdata:.4f}}, smoothed %{{y:.4f}}<extra></extra>",
            )
        steps, values = _logged(history, f"eval_{key}")
        if steps:
            fig.add_scatter(
                x=steps,
                y=values,
                mode="lines+markers",
                line={"color": color, "width": 1.6, "dash": "dot"},
                marker={"size": 7, "symbol": "diamond"},
                name=f"{name}, eval",
                legendgroup=key,
                hovertemplate=f"{name}, eval %{{y:.4f}}<extra></extra>",
                row=1,
                col=1,
            )
    fig.update_yaxes(title="loss", rangemode="tozero", row=1, col=1)


def _add_head_aucs(fig: go.Figure, history: Sequence[Mapping[str, Any]]) -> None:
    """The heads' AUCs in evaluation, over the line of chance."""
    for head in HEADS:
        steps, values = _logged(history, f"eval_{head}_auc")
        if steps:
            fig.add_scatter(
                x=steps,
                y=values,
                mode="lines+markers",
                name=f"{head} AUC",
                line={"color": HEAD_COLORS[head], "width": 2.4},
                marker={"size": 8},
                hovertemplate=f"{head} AUC %{{y:.3f}}<extra></extra>",
                row=2,
                col=1,
            )
    lowest = min((y for trace in fig.data if trace.yaxis == "y2" for y in trace.y), default=1.0)
    _add_chance(fig)
    fig.update_yaxes(title="AUC", range=[min(0.45, lowest - 0.03), 1.02], row=2, col=1)


def _add_chance(fig: go.Figure) -> None:
    fig.add_hline(0.5, line={"color": INK, "width": 1.4, "dash": "dash"}, row=2, col=1)
    fig.add_annotation(
        text="chance", x=1, y=0.5, xref="x2 domain", yref="y2", xanchor="left", showarrow=False, xshift=4
    )


def _add_roc(fig: go.Figure, labels: np.ndarray, scores: np.ndarray, head: str) -> None:
    """The ROC curve at the left, or why there is none."""
    used = (labels != UNLABELLED) & np.isfinite(scores)
    ones, zeros = int((labels[used] == 1).sum()), int((labels[used] == 0).sum())
    fig.update_xaxes(title="false positive rate", range=[-0.02, 1.02], row=1, col=1)
    fig.update_yaxes(title="true positive rate", range=[-0.02, 1.02], row=1, col=1)
    fig.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": INK, "width": 1.2, "dash": "dash"},
        name="chance",
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=1,
    )
    if not (ones and zeros):
        fig.add_annotation(
            text=f"no curve without both labels:<br>{zeros} × 0, {ones} × 1", x=0.5, y=0.5, showarrow=False
        )
        return
    false, true, thresholds = roc_curve(labels[used], scores[used])
    drawn = np.unique(np.linspace(0, len(false) - 1, 500).astype(int))
    fig.add_scatter(
        x=false[drawn],
        y=true[drawn],
        customdata=thresholds[drawn],
        mode="lines",
        line={"color": HEAD_COLORS[head], "width": 2.6},
        fill="tozeroy",
        fillcolor=_faint(HEAD_COLORS[head]),
        name=f"{head}, AUC {auc(false, true):.3f}",
        hovertemplate="threshold %{customdata:.3f}<br>true %{y:.3f}, false %{x:.3f}<extra></extra>",
        row=1,
        col=1,
    )


def _add_score_histograms(fig: go.Figure, labels: np.ndarray, scores: np.ndarray, head: str) -> None:
    """The scores of each label's frames at the right, in percent of that label's frames."""
    finite = scores[np.isfinite(scores) & (labels != UNLABELLED)]
    edges = np.histogram_bin_edges(finite, bins=25) if len(finite) else np.array([0.0, 1.0])
    for label, color in ((0, INK), (1, HEAD_COLORS[head])):
        counts, _ = np.histogram(scores[labels == label], bins=edges)
        if counts.sum():
            shares = counts / counts.sum() * 100
            fig.add_bar(
                **_bars(shares, edges),
                marker_color=color,
                opacity=0.62,
                row=1,
                col=2,
                name=f"label {label} (n = {counts.sum():,})",
            )
    fig.update_layout(barmode="overlay")
    fig.update_xaxes(title=f"{head} score", row=1, col=2)
    fig.update_yaxes(title="% of the label's frames", rangemode="tozero", row=1, col=2)


def _faint(color: str, opacity: float = 0.1) -> str:
    """A colour "#RRGGBB", see-through."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _bins(numbers: np.ndarray) -> np.ndarray | int:
    """One bin a whole number while there are at most 40, else by the square root of how many."""
    low, high = numbers.min(), numbers.max()
    if high - low <= 40 and (numbers == np.round(numbers)).all():
        return np.arange(low - 0.5, high + 1)
    return int(np.clip(math.sqrt(len(numbers)), 5, 40))


def _bars(heights: np.ndarray, edges: np.ndarray) -> dict[str, Any]:
    """A histogram as bars that touch, with the bin on hover."""
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


# --- checks -------------------------------------------------------------------------------------------


def _checked_spans(spans: Iterable[Span]) -> list[Span]:
    """The spans in order of their starts. Raises DuetError for one that ends before it starts."""
    spans = sorted((Span(*span) for span in spans), key=lambda span: (span.start, span.end))
    for span in spans:
        if not -math.inf < span.start <= span.end < math.inf:
            raise DuetError(f"span {span}: its start and end are seconds, start <= end.")
    return spans


def _checked_labels(head: str, labels: Sequence[int] | np.ndarray | None, count: int) -> np.ndarray:
    """Labels as an array [count], all unlabelled for None. Raises DuetError for other lengths or values."""
    if labels is None:
        return np.full(count, UNLABELLED)
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise DuetError(f"{head} labels: shape {list(labels.shape)} for {count} frames; give each frame one.")
    strange = set(labels.tolist()) - {0, 1, UNLABELLED}
    if strange:
        raise DuetError(f"{head} labels: {min(strange)} among them; a label is 0, 1 or {UNLABELLED} (none).")
    return labels
