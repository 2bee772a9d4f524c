"""show: a widget in a live notebook, its page in a report."""

import os
from typing import Protocol

from IPython.display import HTML, display


class Exportable(Protocol):
    """What has a page that needs no kernel."""

    def to_html(self) -> str: ...


def show(widget: Exportable) -> None:
    """Display a widget, or, where a report is made (`mmduet report` sets MMDUET_REPORT), its page without a kernel."""
    display(HTML(widget.to_html()) if os.environ.get("MMDUET_REPORT") else widget)
