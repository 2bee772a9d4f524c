"""FigureView: a plotly figure in a widget, and figures on a page of their own.

plotly's FigureWidget sends what changes as messages, which are lost on a browser that is still unpacking it. Here the
figure is state: a browser that comes late draws the newest.
"""

import base64
import gzip
import html
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import anywidget
import plotly.graph_objects as go
import traitlets as t
from IPython.display import HTML
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from mmduet.plots.slider import Changes, moving

HERE = Path(__file__).parent

FRAME = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' blob:; \
style-src 'unsafe-inline'; img-src data: blob:; media-src data:">
<meta name="color-scheme" content="light dark">
<title>@TITLE@</title>
<style>body { margin: 8px; font: 14px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }</style>
</head>
<body>
@BODY@
<script type="application/json" id="data">@DATA@</script>
<script type="module">
const { esm, plotly, still, figures } = JSON.parse(document.getElementById("data").textContent);
const packed = Uint8Array.from(atob(plotly), (letter) => letter.charCodeAt(0));
const view = await import(URL.createObjectURL(new Blob([esm], { type: "text/javascript" })));
document.querySelectorAll(".figure").forEach((el, index) => {
  const state = { plotly: packed, figure: figures[index], moved: still };
  view.default.render({ model: { get: (name) => state[name], on: () => {} }, el });
});
</script>
</body>
</html>
"""


STILL = '{"traces": [], "changes": {}}'  # nothing has moved


class FigureView(anywidget.AnyWidget):
    """Shows a figure.

    Trait `clicked` is the last point clicked, {axis, x, y, at}: its y-axis, its values, and when, ms.
    """

    _esm = HERE / "figure_view.js"

    plotly = t.Bytes(read_only=True).tag(sync=True)
    figure = t.Unicode(read_only=True).tag(sync=True)
    moved = t.Unicode(STILL, read_only=True).tag(sync=True)
    clicked = t.Dict().tag(sync=True)

    def draw(self, figure: go.Figure) -> None:
        """Show another figure."""
        self.shown = figure
        self._tell(figure=figure.to_json(), moved=STILL)

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
        "esm": str(FigureView._esm),
        "plotly": base64.b64encode(packed_plotly()).decode(),
        "still": STILL,
        "figures": [part.to_json() for part in parts if isinstance(part, go.Figure)],
    }
    pieces = {
        "TITLE": html.escape(title),
        "BODY": "".join(part.data if isinstance(part, HTML) else '<div class="figure"></div>' for part in parts),
        # no "<" is left in it, so no text can end the script element
        "DATA": json.dumps(data).replace("<", "\\u003c"),
    }
    document = re.sub("@(TITLE|BODY|DATA)@", lambda match: pieces[match[1]], FRAME)
    return (
        f'<iframe title="{html.escape(title)}" sandbox="allow-scripts" '
        f'style="width: 100%; height: {height}px; border: 0" srcdoc="{html.escape(document)}"></iframe>'
    )
