"""What a session saw and said, and what it would have said under other thresholds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from mmduet.plots.strip import add_strip, film_strip, strip_panel
from mmduet.plots.style import GRID, HEAD_COLORS, INK, SAID_COLOR, add_note
from mmduet.plots.timeline import (
    SCORES,
    SUM,
    TIMELINE,
    Clock,
    Span,
    add_spans,
    add_turns,
    checked_spans,
    make_clock,
    stacked_panels,
    turn_rows,
    turn_times,
)
from mmduet.policy import HEADS, ScoreSum, ScoreThreshold, need_score
from mmduet.trace import DuetTrace

SUM_COLOR = "#9467BD"
BOTH = " + ".join(HEADS)
SLIDER_STYLE = {
    "bgcolor": GRID,
    "activebgcolor": INK,
    "bordercolor": GRID,
    "borderwidth": 1,
    "tickcolor": INK,
    "minorticklen": 0,
    "ticklen": 4,
}


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
    spans = checked_spans(spans)
    clock = make_clock(trace.times, [*turn_times(trace.queries, trace.responses), *(span.end for span in spans)])
    pictures = [] if frames is None else film_strip(frames, trace.times)
    rows = turn_rows(trace.queries, trace.responses, spans, clock, replayed=True)
    panels = {TIMELINE: rows.height, SCORES: 210}
    panels |= {SUM: 120} if isinstance(policy, ScoreSum) else {}
    fig = stacked_panels(panels | strip_panel(pictures), clock, title)
    add_turns(fig, rows, trace.queries, trace.responses, clock)
    add_spans(fig, rows, spans, clock)
    add_strip(fig, pictures)
    _add_heads(fig, trace, policy)
    _add_replay(fig, trace, policy, clock, rows.middles("would speak")[0])
    if not len(trace):
        add_note(fig, "no frames")
    return fig


def responses_table(trace: DuetTrace, spans: Iterable[Span] = ()) -> pd.DataFrame:
    """The responses as score_figure numbers them: number, time (s), text, span.

    span: the labels of the reference spans a response falls in (ends included), joined by "; ".
    All plain text: escape it where it is rendered.
    """
    spans = checked_spans(spans)
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


def _add_replay(fig: go.Figure, trace: DuetTrace, policy: ScoreThreshold | ScoreSum, clock: Clock, row: float) -> None:
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


def _add_threshold(fig: go.Figure, clock: Clock, panel: str) -> None:
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
