"""A slider over thresholds, and what moves with it: the traces that carry a `meta`."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mmduet.plots.style import GRID, INK

# what a threshold changes, {attribute: a value for each moving trace}
Changes = Mapping[str, Sequence[Any]]

STYLE = {
    "bgcolor": GRID,
    "activebgcolor": INK,
    "bordercolor": GRID,
    "borderwidth": 1,
    "tickcolor": INK,
    "minorticklen": 0,
    "ticklen": 4,
}


def moving(fig: go.Figure) -> list[int]:
    """Which traces move."""
    return [index for index, drawn in enumerate(fig.data) if drawn.meta is not None]


def move(fig: go.Figure, changes: Changes) -> None:
    """Give the moving traces what changes."""
    with fig.batch_update():
        for place, index in enumerate(moving(fig)):
            fig.data[index].update({name: values[place] for name, values in changes.items()})


def add_slider(fig: go.Figure, changes: Mapping[float, Changes], used: float) -> None:
    """A slider below the figure that makes the changes of each threshold. used: the one that it stands at."""
    moved = moving(fig)
    steps = [
        {"method": "restyle", "args": [change, moved], "label": f"{threshold:g}", "value": repr(threshold)}
        for threshold, change in changes.items()
    ]
    shown = {"prefix": "What if the threshold were ", "suffix": f"  (used: {used:g})", "font": {"size": 14}}
    active = list(changes).index(used)
    slider = {"active": active, "steps": steps, "currentvalue": shown, "pad": {"t": 52, "b": 0}, **STYLE}
    fig.update_layout(margin_b=130, height=fig.layout.height + 82, sliders=[slider])
