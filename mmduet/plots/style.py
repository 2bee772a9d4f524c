"""Colours, the template `mmduet`, and text: what every figure shares.

Importing this module registers the template: transparent, in tones that read on a light page and on a dark one,
with colours that stay apart for colour-blind eyes (after Okabe and Ito). A head has the same colour in every
figure. Text of models and annotations is shown as written, never as markup.
"""

import html
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio

from mmduet.errors import DuetError

HEAD_COLORS = {"informative": "#1283C8", "relevance": "#D55E00"}
SAID_COLOR = "#00805F"
ASKED_COLOR = "#CC79A7"
SPAN_COLOR = "#ECCB83"
INK = "#787d85"  # text and neutral lines: contrast 4.2 on white, 4.5 on #111
GRID = "rgba(128,128,128,0.22)"
UNLABELLED = -100
pio.templates["mmduet"] = go.layout.Template(
    layout={
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK, "size": 12, "family": "system-ui, -apple-system, 'Segoe UI', sans-serif"},
        "title": {"x": 0, "xref": "paper", "font": {"size": 16}, "pad": {"b": 8}},
        "colorway": [*HEAD_COLORS.values(), SAID_COLOR, ASKED_COLOR, "#56B4E9", "#E69F00"],
        "xaxis": {
            "gridcolor": GRID,
            "linecolor": GRID,
            "zeroline": False,
            "automargin": True,
            "ticks": "",
            "title": {"standoff": 4},
        },
        "yaxis": {
            "gridcolor": GRID,
            "linecolor": GRID,
            "zeroline": False,
            "automargin": True,
            "ticks": "",
            "ticklabelstandoff": 12,
        },
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": INK, "activecolor": HEAD_COLORS["informative"]},
        "hoverlabel": {
            "bgcolor": "#22262e",
            "bordercolor": INK,
            "font": {"color": "#ffffff", "size": 13},
            "align": "left",
        },
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
        "margin": {"l": 70, "r": 56, "t": 40, "b": 48},
    }
)


def plain(text: str) -> str:
    """Text so escaped that plotly shows it as written: no tags, no entities, no TeX between dollars."""
    # plotly knows &lt; and numbers but not &quot;, so quotes stay
    return html.escape(str(text), quote=False).replace("$", "&#36;")


def shortened(text: str, letters: int) -> str:
    """The text on one line of at most `letters`, escaped; nothing where too little would be left."""
    text = " ".join(str(text).split())
    if len(text) <= letters:
        return plain(text)
    return plain(text[: letters - 1].rstrip()) + "…" if letters >= 8 else ""


def wrapped_text(text: str, heading: str = "") -> str:
    """A hover text: the heading in bold, then the text in lines of 60, escaped line by line."""
    lines = textwrap.wrap(str(text), 60, max_lines=20, placeholder=" …")
    return "<br>".join(([f"<b>{plain(heading)}</b>"] if heading else []) + [plain(line) for line in lines])


def finished(fig: go.Figure, title: str, *, height: int, top: int = 70, **layout: Any) -> go.Figure:
    """The template and the title. top: pixels of title, buttons and legend; height: of all below."""
    fig.update_layout(template="mmduet", height=height + top, margin_t=top, **layout)
    if title:
        fig.update_layout(title={"text": shortened(title, 110), "y": 1, "yanchor": "top", "pad": {"t": 14}})
    return fig


def add_note(fig: go.Figure, text: str) -> None:
    fig.add_annotation(text=text, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font={"size": 15})


def faint(color: str, opacity: float = 0.1) -> str:
    """A colour "#RRGGBB", see-through."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def checked_labels(head: str, labels: Sequence[int] | np.ndarray | None, count: int) -> np.ndarray:
    """Labels as an array [count], all unlabelled for None. Raises DuetError for other lengths or values."""
    if labels is None:
        return np.full(count, UNLABELLED)
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise DuetError(f"{head} labels: shape {list(labels.shape)} for {count} frames; give each frame one.")
    strange = set(labels.tolist()) - {0, 1, UNLABELLED}
    if strange:
        raise DuetError(f"{head} labels: {min(strange)} among them; a label is 0, 1 or {UNLABELLED} (none).")
    return labels
