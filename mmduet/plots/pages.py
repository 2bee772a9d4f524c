"""Several figures in one, with a button for each."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from mmduet.plots.colors import GRID
from mmduet.plots.style import plain

LISTS = ("annotations", "images", "shapes")  # lists of a layout: an empty one replaces another page's
ROOM = 44  # pixels of the buttons' row
BUTTONS = {"type": "buttons", "direction": "right", "x": 0, "xanchor": "left", "y": 0, "yanchor": "top",
           "bgcolor": "rgba(0,0,0,0)", "bordercolor": GRID}  # fmt: skip


def paged_figure(pages: Sequence[tuple[str, go.Figure]], *, shown: int = 0) -> go.Figure:
    """Make a figure that shows one page at a time.

    Args:
        pages: (label, figure) of each page. The figures have the same template and axes; heights may differ. A single
            one is returned unchanged.
        shown: Index of the page shown first.
    """
    if len(pages) == 1:
        return pages[0][1]
    fig = go.Figure([trace for _, page in pages for trace in page.data], pages[shown][1].layout)
    owners = [number for number, (_, page) in enumerate(pages) for _ in page.data]
    for owner, trace in zip(owners, fig.data, strict=True):
        trace.visible = owner == shown
    buttons = [
        {"label": plain(label), "method": "update", "args": [{"visible": [o == number for o in owners]}, _layout(page)]}
        for number, (label, page) in enumerate(pages)
    ]
    menu = {**BUTTONS, "pad": {"t": ROOM}, "active": shown, "buttons": buttons}
    return fig.update_layout(**_room(fig), updatemenus=[menu])


def _layout(page: go.Figure) -> dict[str, Any]:
    """The layout of a page; it replaces another page's layout."""
    layout: dict[str, Any] = {name: [] for name in LISTS} | page.layout.to_plotly_json() | _room(page)
    layout.pop("template", None)
    return layout


def _room(page: go.Figure) -> dict[str, Any]:
    """A page's height and margin, with room for the buttons below."""
    return {"height": page.layout.height + ROOM, "margin": {**page.layout.margin.to_plotly_json(), "b": 48 + ROOM}}
