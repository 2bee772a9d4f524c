"""The script of pages with plots: plotly.js, and what holds for every plot of our pages."""

from functools import cache
from pathlib import Path

from plotly.offline import get_plotlyjs

OURS = Path(__file__).with_name("page.js")


@cache
def plots_script() -> str:
    """JavaScript that defines `Plotly`. Its plots send nothing to a server, are saved on white, and print whole."""
    return f"{get_plotlyjs()}\n{OURS.read_text(encoding='utf-8')}"
