"""The template `mmduet`, and text: shared by all figures.

Importing this module registers the template. It is transparent, and its tones are readable on a light and on a dark
page. Text of models and annotations is shown as written, never as markup.
"""

import html
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
from numpy.typing import NDArray

from mmduet.errors import DuetError
from mmduet.plots.colors import GRID, HEAD_COLORS, INK, SERIES_COLORS

UNLABELLED = -100
pio.templates["mmduet"] = go.layout.Template(
    layout={
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK, "size": 12, "family": "system-ui, -apple-system, 'Segoe UI', sans-serif"},
        "title": {"x": 0, "xref": "paper", "font": {"size": 16}, "pad": {"b": 8}},
        "colorway": SERIES_COLORS,
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
        "modebar": {
            "bgcolor": "rgba(0,0,0,0)",
            "color": INK,
            "activecolor": HEAD_COLORS["informative"],
            "remove": ["sendChartToCloud"],  # it uploads the figure
        },
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
    """Escape text so that plotly shows it as written: no tags, no entities, no TeX between dollars."""
    # plotly knows &lt; and numbers but not &quot;, so quotes stay
    return html.escape(str(text), quote=False).replace("$", "&#36;")


def shortened(text: str, letters: int) -> str:
    """Shorten text to one line of at most `letters`, escaped; "" where that leaves less than 8."""
    text = " ".join(str(text).split())
    if len(text) <= letters:
        return plain(text)
    return plain(text[: letters - 1].rstrip()) + "…" if letters >= 8 else ""


def wrapped_text(text: str, heading: str = "") -> str:
    """Make a hover text: the heading in bold, then the text in lines of 60, escaped line by line."""
    lines = textwrap.wrap(str(text), 60, max_lines=20, placeholder=" …")
    return "<br>".join(([f"<b>{plain(heading)}</b>"] if heading else []) + [plain(line) for line in lines])


def finished(fig: go.Figure, title: str, *, height: int, top: int = 70, **layout: Any) -> go.Figure:
    """Apply the template and the title.

    Args:
        fig: The figure; it is returned.
        title: Shortened to one line.
        height: Pixels of everything below the top.
        top: Pixels of title, buttons and legend.
        layout: More of the layout.
    """
    fig.update_layout(template="mmduet", height=height + top, margin_t=top, **layout)
    if title:
        fig.update_layout(title={"text": shortened(title, 110), "y": 1, "yanchor": "top", "pad": {"t": 14}})
    return fig


def add_note(fig: go.Figure, text: str) -> None:
    """Write a note over the middle of a figure that has nothing to show."""
    fig.add_annotation(text=text, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font={"size": 15})


def faint(color: str, opacity: float = 0.1) -> str:
    """Make a colour "#RRGGBB" transparent."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def checked_labels(head: str, labels: Sequence[int] | NDArray[Any] | None, count: int) -> NDArray[Any]:
    """Labels as int [count]; all unlabelled for None. Raises DuetError for other lengths or values."""
    if labels is None:
        return np.full(count, UNLABELLED)
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise DuetError(f"{head} labels: shape {list(labels.shape)} for {count} frames; give each frame one.")
    strange = set(labels.tolist()) - {0, 1, UNLABELLED}
    if strange:
        raise DuetError(f"{head} labels: {min(strange)} among them; a label is 0, 1 or {UNLABELLED} (none).")
    return labels
