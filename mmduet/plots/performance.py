"""Where a session's time goes."""

from collections.abc import Mapping

import plotly.graph_objects as go

from mmduet.errors import DuetError
from mmduet.plots.style import INK, finished, plain


def stages_figure(runs: Mapping[str, Mapping[str, float]], *, title: str = "") -> go.Figure:
    """A bar a run, put together of its stages; "rest" is grey. runs: name -> stage -> ms a frame."""
    if not runs:
        raise DuetError("there are no runs to show: give at least one.")
    fig = go.Figure()
    for stage in next(iter(runs.values())):
        fig.add_bar(
            y=[plain(name) for name in runs], x=[stages[stage] for stages in runs.values()], name=plain(stage),
            marker_color=INK if stage == "rest" else None, orientation="h",
            hovertemplate="%{x:.2f} ms<extra>" + plain(stage) + "</extra>",
        )  # fmt: skip
    fig.update_layout(barmode="stack", legend_traceorder="normal")
    fig.update_xaxes(title="ms a frame")
    fig.update_yaxes(autorange="reversed")
    return finished(fig, title, height=110 + 50 * len(runs))
