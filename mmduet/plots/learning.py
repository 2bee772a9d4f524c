"""Figures of a training run, and of how well a head separates its labels."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from mmduet.errors import DuetError
from mmduet.plots.colors import HEAD_COLORS, INK, QUERY_COLOR, RESPONSE_COLOR
from mmduet.plots.distribution import bar_shape
from mmduet.plots.style import UNLABELLED, add_note, checked_labels, faint, finished
from mmduet.policy import HEADS

LOSSES = {  # a Trainer's key: its name and colour
    "loss": ("loss", INK),
    "lm_loss": ("language loss", RESPONSE_COLOR),
    "video_loss": ("video loss", QUERY_COLOR),
}
PARTS = ("lm_loss", "video_loss")
GAP = 26  # pixels between panels


class _Panel(NamedTuple):
    """A row of `training_figure`. height: pixels. keys: drawn if one of them was logged; always, if empty."""

    name: str
    height: int
    add: Callable[[go.Figure, Sequence[Mapping[str, Any]], int], None]
    keys: Sequence[str] = ()


def training_figure(log_history: Iterable[Mapping[str, Any]], *, title: str = "") -> go.Figure:
    """Draw a run's losses, head AUCs, learning rate and speed over its steps. Only logged values are drawn.

    Args:
        log_history: Rows of a Trainer's `state.log_history`. It reads step; loss, lm_loss and video_loss, with or
            without the prefix `eval_`; eval_informative_auc, eval_relevance_auc, learning_rate; and
            samples_per_second, which TrainingMonitor adds. Where both parts of the loss were logged, the loss is
            drawn as their sum.
        title: The figure's title.
    """
    history = list(log_history)
    panels: list[_Panel] = [
        _Panel("loss", 260, _add_losses),
        _Panel("AUC", 210, _add_head_aucs, [f"eval_{head}_auc" for head in HEADS]),
        _Panel("learning rate", 90, partial(_add_rate, "learning_rate"), ["learning_rate"]),
        _Panel("conversations/s", 90, partial(_add_rate, "samples_per_second"), ["samples_per_second"]),
    ]
    drawn = [panel for panel in panels if not panel.keys or any(logged(history, key)[0] for key in panel.keys)]
    heights = [panel.height for panel in drawn]
    total = sum(heights) + GAP * len(heights)
    fig = make_subplots(rows=len(drawn), cols=1, shared_xaxes=True, vertical_spacing=GAP / total, row_heights=heights)
    for row, panel in enumerate(drawn, start=1):
        panel.add(fig, history, row)
        fig.update_yaxes(title=panel.name, row=row, col=1)
    if not fig.data:
        add_note(fig, "nothing logged yet")
    fig.update_xaxes(title="step", row=len(drawn), col=1)
    return finished(fig, title, height=total, top=92, hovermode="x unified")


def auc_figure(
    labels: Sequence[int] | np.ndarray, scores: Sequence[float] | np.ndarray, head: str, *, title: str = ""
) -> go.Figure:
    """Draw how well one head's scores separate its labels: the ROC curve, and the scores by label.

    Args:
        labels: [N], 0, 1 or -100 (left out).
        scores: [N], probabilities.
        head: "informative" or "relevance".
        title: The figure's title.

    Raises:
        DuetError: The head is unknown, or the lengths differ.
    """
    if head not in HEADS:
        raise DuetError(f"head={head!r}: name one of {HEADS}.")
    scores = np.asarray(scores, dtype=float)
    labels = checked_labels(head, labels, len(scores))
    fig = make_subplots(rows=1, cols=2, horizontal_spacing=0.12)
    _add_roc(fig, labels, scores, head)
    _add_score_histograms(fig, labels, scores, head)
    return finished(fig, title, height=320)


def logged(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """The steps at which a key was logged with a finite value, and its values."""
    rows = [(row["step"], float(row[key])) for row in history if row.get(key) is not None and "step" in row]
    rows = [row for row in rows if math.isfinite(row[1])]
    return [step for step, _ in rows], [value for _, value in rows]


def _with_sums(history: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Rows whose loss is the sum of both parts, as in evaluation; the history itself where none has both.

    Trainer's loss is a mean over all steps, but each part is a mean over the steps that have its labels. Trainer's
    would lie below its parts.
    """
    complete = [row for row in history if all(row.get(part) is not None for part in PARTS)]
    return [{**row, "loss": sum(float(row[part]) for part in PARTS)} for row in complete] or history


def _smoothed(values: Sequence[float]) -> np.ndarray:
    """The mean over a centred window of about a tenth of the values, cut off at the ends."""
    window = np.ones(2 * (len(values) // 20) + 1)
    count = np.convolve(np.ones(len(values)), window, mode="same")
    return np.convolve(values, window, mode="same") / count


def _add_losses(fig: go.Figure, history: Sequence[Mapping[str, Any]], row: int) -> None:
    """Each part of the loss: as logged (light), smoothed, and in evaluation (dotted, with marks)."""
    for key, (name, color) in LOSSES.items():
        steps, values = logged(_with_sums(history) if key == "loss" else history, key)
        if steps:
            shared = {"x": steps, "legendgroup": key, "row": row, "col": 1}
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
        steps, values = logged(history, f"eval_{key}")
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
                row=row,
                col=1,
            )
    fig.update_yaxes(rangemode="tozero", row=row, col=1)


def _add_head_aucs(fig: go.Figure, history: Sequence[Mapping[str, Any]], row: int) -> None:
    """The heads' AUCs in evaluation, over the line of chance."""
    lowest = 1.0
    for head in HEADS:
        steps, values = logged(history, f"eval_{head}_auc")
        if steps:
            lowest = min(lowest, *values)
            fig.add_scatter(
                x=steps,
                y=values,
                mode="lines+markers",
                name=f"{head} AUC",
                line={"color": HEAD_COLORS[head], "width": 2.4},
                marker={"size": 8},
                hovertemplate=f"{head} AUC %{{y:.3f}}<extra></extra>",
                row=row,
                col=1,
            )
    fig.add_hline(0.5, line={"color": INK, "width": 1.4, "dash": "dash"}, row=row, col=1)
    axes = {"xref": f"x{row} domain", "yref": f"y{row}", "xanchor": "left", "xshift": 4}
    fig.add_annotation(text="chance", x=1, y=0.5, showarrow=False, **axes)
    fig.update_yaxes(range=[min(0.45, lowest - 0.03), 1.02], row=row, col=1)


def _add_rate(key: str, fig: go.Figure, history: Sequence[Mapping[str, Any]], row: int) -> None:
    """A logged number of the run itself."""
    steps, values = logged(history, key)
    name = key.replace("_", " ")
    fig.add_scatter(
        x=steps,
        y=values,
        mode="lines" if len(steps) > 1 else "markers",
        line={"color": INK, "width": 1.6},
        hovertemplate=f"{name} %{{y:.3g}}<extra></extra>",
        name=name,
        showlegend=False,
        row=row,
        col=1,
    )
    fig.update_yaxes(rangemode="tozero", exponentformat="power", nticks=4, row=row, col=1)


def _add_roc(fig: go.Figure, labels: np.ndarray, scores: np.ndarray, head: str) -> None:
    """The ROC curve at the left, or the reason why it cannot be drawn."""
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
    from sklearn.metrics import auc, roc_curve  # slow to import, and a player needs none of it

    false, true, thresholds = roc_curve(labels[used], scores[used])
    drawn = np.unique(np.linspace(0, len(false) - 1, 500).astype(int))
    fig.add_scatter(
        x=false[drawn],
        y=true[drawn],
        customdata=thresholds[drawn],
        mode="lines",
        line={"color": HEAD_COLORS[head], "width": 2.6},
        fill="tozeroy",
        fillcolor=faint(HEAD_COLORS[head]),
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
                **bar_shape(shares, edges),
                marker_color=color,
                opacity=0.62,
                row=1,
                col=2,
                name=f"label {label} (n = {counts.sum():,})",
            )
    fig.update_layout(barmode="overlay")
    fig.update_xaxes(title=f"{head} score", row=1, col=2)
    fig.update_yaxes(title="% of the label's frames", rangemode="tozero", row=1, col=2)
