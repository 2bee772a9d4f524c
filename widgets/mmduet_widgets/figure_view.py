"""FigureView: a plotly figure in a widget, and figures on a page of their own.

plotly's FigureWidget sends what changes as messages, which are lost on a browser that is still unpacking it. Here the
figure is state: a browser that comes late draws the newest.
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
from plotly.offline import get_plotlyjs

from mmduet.plots.slider import Changes, moving
from mmduet_widgets.frame import frame, source

UNMOVED = '{"traces": [], "changes": {}}'


class FigureView(anywidget.AnyWidget):
    """Shows a figure.

    Trait `clicked` is the last point clicked, {axis, x, y, at}: its y-axis, its values, and when, ms.
    """

    _esm = source("figure_view.js")

    plotly = t.Bytes(read_only=True).tag(sync=True)
    figure = t.Unicode(read_only=True).tag(sync=True)
    moved = t.Unicode(UNMOVED, read_only=True).tag(sync=True)
    clicked = t.Dict().tag(sync=True)

    def draw(self, figure: go.Figure) -> None:
        """Show another figure."""
        self.shown = figure
        self._tell(figure=figure.to_json(), moved=UNMOVED)

    def move(self, changes: Changes) -> None:
        """Change the traces that move with the threshold, as a slider of `mmduet.plots.slider` does."""
        self._tell(moved=to_json_plotly({"traces": moving(self.shown), "changes": changes}))

    def _tell(self, **state: str) -> None:
        with self.hold_sync():
            for name, value in state.items():
                self.set_trait(name, value)

    @t.default("plotly")
    def _packed(self) -> bytes:
        return packed_plotly()


@cache
def packed_plotly() -> bytes:
    """plotly.js, compressed: 1.5 MB instead of 5."""
    return gzip.compress(get_plotlyjs().encode(), mtime=0)


def framed(parts: Sequence[go.Figure | HTML], *, title: str, height: int) -> str:
    """Figures and texts, one below the other, in an `<iframe>` that asks nothing of any network.

    height: pixels of the frame. Texts are the HTML that they are: escape what is in them.
    """
    data = {
        "esm": FigureView._esm,
        "plotly": base64.b64encode(packed_plotly()).decode(),
        "unmoved": UNMOVED,
        "figures": [part.to_json() for part in parts if isinstance(part, go.Figure)],
    }
    body = "".join(part.data if isinstance(part, HTML) else '<div class="figure"></div>' for part in parts)
    return frame("figure_view.html", data, title=title, height=height, BODY=body)
