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

HEAD_COLORS = {"informative": "#0072B2", "relevance": "#D55E00"}
SAID_COLOR = "#00805F"
ASKED_COLOR = "#CC79A7"
SPAN_COLOR = "#ECCB83"
INK = "#787d85"  # text and neutral lines: contrast 4.2 on white, 4.5 on #111
GRID = "rgba(128,128,128,0.22)"
UNLABELLED = -100

PLOT_WIDTH = 860  # pixels the time axis usually gets on a page; decides what fits beside a mark
ROW = 25  # pixels of a row of marks
MARK = 19  # pixels of a numbered mark
LETTER = 6.2  # pixels of a letter, on average
GAP = 12  # pixels between panels

# The panels of a figure over time, each with its own y-axis under one x-axis.
TIMELINE, SCORES, SUM, CELLS, STRIP = "y", "y2", "y3", "y4", "y5"

pio.templates["mmduet"] = go.layout.Template(
    layout={
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK, "size": 12, "family": "system-ui, -apple-system, 'Segoe UI', sans-serif"},
        "title": {"x": 0, "xref": "paper", "font": {"size": 16}, "pad": {"b": 8}},
        "colorway": [*HEAD_COLORS.values(), SAID_COLOR, ASKED_COLOR, "#56B4E9", "#E69F00"],
        "xaxis": {"gridcolor": GRID, "linecolor": GRID, "zeroline": False, "automargin": True},
        "yaxis": {"gridcolor": GRID, "linecolor": GRID, "zeroline": False, "automargin": True},
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
    _add_replay(fig, trace, policy, rows.first["would speak"] + 0.5)
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
    fig = _stack(
        _strip_panel(pictures) | {TIMELINE: rows.height, CELLS: 2 * ROW + 10},
        clock,
        title,
    )
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
    return _finish(fig, title, height=300 + 230 * has_auc)


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
    return _finish(fig, title, height=360)


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
    return _finish(fig, f"{title} (n = {len(numbers):,})", height=300, showlegend=False)


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
    return plain(text[: letters - 1].rstrip()) + "…" if letters >= 6 else ""


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
    return _Clock(start, end if end > start else start + 1.0)


def _turn_times(queries: Sequence[Query], responses: Sequence[Response]) -> list[float]:
    return [turn.time for turn in (*queries, *responses)]


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
    total = sum(panels.values()) + GAP * (len(panels) - 1)
    fig, top = go.Figure(), total
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
    return _finish(fig, title, height=total + 90, hovermode="closest")


def _finish(fig: go.Figure, title: str, *, height: int, **layout: Any) -> go.Figure:
    """The template, the title and the margins all figures share. height: without the title, pixels."""
    top = 40 + 34 * bool(title)
    fig.update_layout(template="mmduet", height=height + top - 40, margin_t=top, **layout)
    if title:
        fig.update_layout(title={"text": _short(title, 110), "y": 1, "yanchor": "top", "pad": {"t": 14}})
    return fig


def _note(fig: go.Figure, text: str) -> None:
    fig.add_annotation(
        text=text, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font={"size": 15}
    )


# --- parts of the figures over time -------------------------------------------------------------------


def _add_turns(
    fig: go.Figure, rows: _Rows, queries: Sequence[Query], responses: Sequence[Response], clock: _Clock
) -> None:
    """What was asked and said, as marks with as much of the text beside them as fits."""
    queries = sorted(queries, key=lambda q: q.time)
    responses = sorted(responses, key=lambda r: r.time)
    for query in queries:
        fig.add_vline(query.time, line={"color": ASKED_COLOR, "width": 1.2, "dash": "dash"}, layer="below")
    _add_marks(fig, rows, "asked", queries, clock, symbol="diamond", size=12, color=ASKED_COLOR)
    _add_marks(fig, rows, "said", responses, clock, symbol="circle", size=MARK, color=SAID_COLOR)
    _label_rows(fig, rows)


def _add_marks(
    fig: go.Figure,
    rows: _Rows,
    kind: str,
    turns: Sequence[Query] | Sequence[Response],
    clock: _Clock,
    **marker: Any,
) -> None:
    if not turns:
        return
    times, middles, lanes = [turn.time for turn in turns], rows.middles(kind), rows.lanes[kind]
    rooms = [clock.pixels(room) for room in _rooms(times, lanes, clock.end)]
    numbers = [str(n) if room >= MARK - 4 else "" for n, room in enumerate(rooms, start=1)]
    fig.add_scatter(
        x=times,
        y=middles,
        yaxis=TIMELINE,
        mode="markers+text" if kind == "said" else "markers",
        marker={**marker, "opacity": 1},
        text=numbers if kind == "said" else None,
        textfont={"color": "#ffffff", "size": 10},
        hoverinfo="text",
        hovertext=[_wrapped(t.text, f"{kind} at {t.time:.1f} s") for t in turns],
        name=kind,
        showlegend=False,
        cliponaxis=False,
    )
    fig.add_scatter(
        x=[time + clock.seconds(MARK / 2 + 1) for time in times],
        y=middles,
        yaxis=TIMELINE,
        mode="text",
        text=[_short(t.text, int((r - MARK - 8) / LETTER)) for t, r in zip(turns, rooms, strict=True)],
        textposition="middle right",
        hoverinfo="skip",
        name=f"{kind}, text",
        showlegend=False,
    )


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
    fig.add_bar(
        orientation="h",
        base=[span.start for span in spans],
        x=[span.end - span.start for span in spans],
        y=rows.middles("reference"),
        width=0.8,
        yaxis=TIMELINE,
        marker={"color": SPAN_COLOR, "line": {"color": "#a07a2a", "width": 1}, "cornerradius": 3},
        text=[_short(s.label, int((clock.pixels(s.end - s.start) - 8) / LETTER)) for s in spans],
        textposition="inside",
        insidetextanchor="start",
        textangle=0,
        textfont={"color": "#2b2b2b", "size": 11},
        hoverinfo="text",
        hovertext=[_wrapped(s.label, f"reference, {s.start:.1f} to {s.end:.1f} s") for s in spans],
        name="reference",
        showlegend=False,
    )
    fig.update_layout(uniformtext={"minsize": 10, "mode": "hide"})
    for span in spans:
        fig.add_shape(
            type="rect",
            x0=span.start,
            x1=span.end,
            y0=0,
            y1=1,
            yref=f"{SCORES} domain",
            fillcolor=SPAN_COLOR,
            opacity=0.16,
            line_width=0,
            layer="below",
        )


def _strip_panel(pictures: Sequence[Thumbnail]) -> dict[str, int]:
    """The filmstrip's panel, as high as its pictures get on a wide page; none without pictures."""
    if not pictures:
        return {}
    picture = Image.open(io.BytesIO(base64.b64decode(pictures[0].uri.partition(",")[2])))
    return {STRIP: int(min(84, max(36, 1.15 * PLOT_WIDTH / len(pictures) * picture.height / picture.width)))}


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
        curves["both"] = trace.informative + trace.relevance
        colors["both"] = INK
    for name, values in curves.items():
        fig.add_scatter(
            x=trace.times,
            y=values,
            yaxis=SCORES,
            mode="lines" if len(trace) > 1 else "markers",
            line={"color": colors[name], "width": 2.2 if name in policy.heads or name == "both" else 1.3},
            hovertemplate=f"{name} %{{y:.3f}}<br>at %{{x:.1f}} s<extra></extra>",
            name=name,
        )
    top = 1.0 if "both" not in curves else 2.0
    fig.layout["yaxis" + SCORES[1:]].update(title="score", range=[-0.03 * top, 1.04 * top])


def _add_replay(
    fig: go.Figure, trace: DuetTrace, policy: ScoreThreshold | ScoreSum, row: float
) -> None:
    """The threshold, where it would speak, and the slider that tries others. row: y of the marks."""
    panel = SUM if isinstance(policy, ScoreSum) else SCORES
    first = len(fig.data)
    now = _replayed(trace, policy, row)
    if panel == SUM:
        fig.add_scatter(
            x=trace.times, y=now["y"][2], name=now["name"][2], line={"color": INK, "width": 2}, yaxis=SUM
        )
        fig.layout["yaxis" + SUM[1:]].update(title="running sum", rangemode="tozero")


# --- checks -------------------------------------------------------------------------------------------
