"""Training runs side by side."""

from collections.abc import Iterable, Mapping
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from mmduet.plots.colors import SERIES_COLORS
from mmduet.plots.learning import logged
from mmduet.plots.style import add_note, finished, plain
from mmduet.policy import HEADS

PANELS = {  # what is logged: its name
    "lm_loss": "language loss",
    "video_loss": "video loss",
    **{f"eval_{head}_auc": f"{head} AUC" for head in HEADS},
}
HEIGHT, GAP = 190, 26  # pixels of a panel, and between two


def runs_figure(runs: Mapping[str, Iterable[Mapping[str, Any]]], *, title: str = "") -> go.Figure:
    """Draw the losses and head AUCs of several training runs over their steps, a line a run.

    Args:
        runs: Name -> rows of a Trainer's `state.log_history`, as `mmduet.training.read_log` reads them. It reads step,
            lm_loss, video_loss, eval_informative_auc and eval_relevance_auc; what no run has logged has no panel.
        title: The figure's title.
    """
    histories = {name: list(history) for name, history in runs.items()}
    found = {key: {name: logged(history, key) for name, history in histories.items()} for key in PANELS}
    drawn = [key for key, each in found.items() if any(steps for steps, _ in each.values())] or ["lm_loss"]
    total = (HEIGHT + GAP) * len(drawn)
    fig = make_subplots(rows=len(drawn), cols=1, shared_xaxes=True, vertical_spacing=GAP / total)
    for row, key in enumerate(drawn, start=1):
        for number, (name, (steps, values)) in enumerate(found[key].items()):
            if steps:
                fig.add_scatter(
                    x=steps, y=values, name=plain(name), legendgroup=name, showlegend=row == 1, row=row, col=1,
                    mode="lines+markers" if len(steps) < 30 else "lines",
                    line={"color": SERIES_COLORS[number % len(SERIES_COLORS)], "width": 2},
                )  # fmt: skip
        fig.update_yaxes(title=PANELS[key], row=row, col=1)
    if not fig.data:
        add_note(fig, "nothing logged yet")
    fig.update_xaxes(title="step", row=len(drawn), col=1)
    return finished(fig, title, height=total, top=92, hovermode="x unified")
