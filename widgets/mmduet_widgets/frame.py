"""Frames: documents that need no network and no kernel, each in an `<iframe>` of its own."""

import html
import json
import re
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static"


def source(name: str) -> str:
    """Read a file of `static/`. As a Path, anywidget would watch it and never release the widgets."""
    return (STATIC / name).read_text(encoding="utf-8")


def frame(
    template: str, data: Any, *, title: str, height: int, name: str = "", downloads: bool = False, **parts: str
) -> str:
    """Fill a template of `static/` and put it into an `<iframe>` that may run scripts, and else at most save files.

    Args:
        template: A file name. ``@TITLE@``, ``@DATA@`` and the names of `parts` are replaced.
        data: JSON for the page's scripts.
        title: Text; it is escaped.
        height: Pixels.
        name: The frame's class.
        downloads: Whether the page may save files.
        parts: More of the document, which are its HTML or CSS: escape what is in them.
    """
    # no "<" is left in the data, so no text can end the script element
    written = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    filled = {"TITLE": html.escape(title), "DATA": written, **parts}
    document = re.sub("@([A-Z]+)@", lambda match: filled.get(match[1], match[0]), source(template))
    sandbox = "allow-scripts allow-downloads" if downloads else "allow-scripts"
    return (
        f'<iframe class="{name}" title="{html.escape(title)}" sandbox="{sandbox}" '
        f'style="width: 100%; height: {height}px; border: 0" srcdoc="{html.escape(document)}"></iframe>'
    )
