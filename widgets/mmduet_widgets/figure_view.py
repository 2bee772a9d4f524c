"""FigureView: a plotly figure in a widget, and figures on a page of their own.

plotly's FigureWidget sends changes as messages, which are lost while a browser still unpacks plotly.js. Here the
figure is state, so a late browser draws the newest one.
"""

import base64
import gzip
from collections.abc import Sequence
from functools import cache

import anywidget
import plotly.graph_objects as go
import traitlets as t
from IPython.display import HTML
from plotly.io.json import to_json_plotly

from mmduet.plots.script import plots_script
from mmduet.plots.slider import Changes, moving
from mmduet_widgets.frame import frame, source

NOTHING = '{"data": [], "layout": {"xaxis": {"visible": false}, "yaxis": {"visible": false}}}'  # a figure without axes
UNMOVED = '{"traces": [], "changes": {}}'


class FigureView(anywidget.AnyWidget):
    """Shows a figure.

    Trait `clicked` is the last point clicked, {axis, x, y, at}: its y-axis, its values, and the time of the click, ms.
    """

    _esm = source("figure_view.js")

    plotly = t.Bytes(read_only=True).tag(sync=True)
    figure = t.Unicode(NOTHING, read_only=True).tag(sync=True)
    moved = t.Unicode(UNMOVED, read_only=True).tag(sync=True)
    clicked = t.Dict().tag(sync=True)

    def draw(self, figure: go.Figure) -> None:
        """Show another figure."""
        self.shown = figure
        self._send_traits(figure=figure.to_json(), moved=UNMOVED)

    def move(self, changes: Changes) -> None:
        """Change the traces that move with the threshold, like a slider of `mmduet.plots.slider`."""
        self._send_traits(moved=to_json_plotly({"traces": moving(self.shown), "changes": changes}))

    def _send_traits(self, **state: str) -> None:
        with self.hold_sync():
            for name, value in state.items():
                self.set_trait(name, value)

    @t.default("plotly")
    def _packed(self) -> bytes:
        return packed_plotly()


@cache
def packed_plotly() -> bytes:
    """Compress plotly.js and our additions: 1.5 MB instead of 5."""
    return gzip.compress(plots_script().encode(), mtime=0)


def framed(parts: Sequence[go.Figure | HTML], *, title: str, height: int) -> str:
    """Put figures and texts, one below the other, into an `<iframe>` that needs neither network nor kernel.

    Args:
        parts: Texts are inserted as HTML: escape their contents.
        title: The frame's title.
        height: Pixels of the frame.
    """
    data = {
        "esm": FigureView._esm,
        "plotly": base64.b64encode(packed_plotly()).decode(),
        "unmoved": UNMOVED,
        "figures": [part.to_json() for part in parts if isinstance(part, go.Figure)],
    }
    body = "".join(part.data if isinstance(part, HTML) else '<div class="figure"></div>' for part in parts)
    return frame("figure_view.html", data, title=title, height=height, downloads=True, BODY=body)
