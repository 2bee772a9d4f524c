"""show: a widget in a live notebook, what stands for it in a report."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from IPython.display import display


class Exportable(Protocol):
    """What has a page that needs no kernel."""

    def to_html(self) -> str: ...


@runtime_checkable
class Reportable(Protocol):
    """What is figures and texts: a report draws figures by itself, so none of them brings a plotly.js of its own."""

    def report(self) -> list[Any]: ...


def show(widget: Exportable) -> None:
    """Display a widget; where a report is being made (`mmduet report` sets MMDUET_REPORT), what stands for it."""
    if not os.environ.get("MMDUET_REPORT"):
        display(widget)
    elif isinstance(widget, Reportable):
        display(*widget.report())
    else:
        display({"text/html": widget.to_html(), "text/plain": repr(widget)}, raw=True)  # HTML() warns of iframes


@contextmanager
def showing(widget: Exportable) -> Iterator[None]:
    """Show a widget that follows what the block does: from its start, in a report at its end, however it ends."""
    reporting = bool(os.environ.get("MMDUET_REPORT"))
    if not reporting:
        show(widget)
    try:
        yield
    finally:
        if reporting:
            show(widget)
