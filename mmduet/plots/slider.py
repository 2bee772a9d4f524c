"""A slider over thresholds. The traces that have a `meta` move with it."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mmduet.plots.colors import GRID, INK

# the changes of a threshold: {attribute: a value per moving trace}
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
    """The indices of the traces that move."""
    return [index for index, drawn in enumerate(fig.data) if drawn.meta is not None]


def move(fig: go.Figure, changes: Changes) -> None:
    """Apply changes to the moving traces."""
    with fig.batch_update():
        for place, index in enumerate(moving(fig)):
            fig.data[index].update({name: values[place] for name, values in changes.items()})


def add_slider(fig: go.Figure, changes: Mapping[float, Changes], used: float) -> None:
    """Add a slider below the figure that applies the changes of each threshold. used: its first position."""
    moved = moving(fig)
    steps = [
        {"method": "restyle", "args": [change, moved], "label": f"{threshold:g}", "value": repr(threshold)}
        for threshold, change in changes.items()
    ]
    shown = {"prefix": "What if the threshold were ", "suffix": f"  (used: {used:g})", "font": {"size": 14}}
    active = list(changes).index(used)
    slider = {"active": active, "steps": steps, "currentvalue": shown, "pad": {"t": 52, "b": 0}, **STYLE}
    fig.update_layout(margin_b=130, height=fig.layout.height + 82, sliders=[slider])
