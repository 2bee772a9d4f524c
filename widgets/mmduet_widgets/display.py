"""show: displays a widget in a live notebook, and a page that replaces it in a report."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from IPython.display import display


class Exportable(Protocol):
    """A widget with a page that needs no kernel."""

    def to_html(self) -> str:
        """Make the page."""

    def _repr_mimebundle_(self) -> Any: ...


@runtime_checkable
class Reportable(Protocol):
    """A widget that consists of figures and texts. A report draws figures itself, with one plotly.js for all."""

    def report(self) -> list[Any]:
        """List the figures and texts."""


def show(widget: Exportable) -> None:
    """Display a widget together with the page that replaces it where no kernel runs.

    `mmduet report` sets MMDUET_REPORT; then only the page is displayed.
    """
    if not os.environ.get("MMDUET_REPORT"):
        display(_bundle(widget), raw=True)
    elif isinstance(widget, Reportable):
        display(*widget.report())
    else:
        display({"text/html": widget.to_html(), "text/plain": repr(widget)}, raw=True)  # HTML() warns of iframes


@contextmanager
def showing(widget: Exportable) -> Iterator[None]:
    """Show a widget while the block runs; its page is made when the block ends."""
    handle = None
    if not os.environ.get("MMDUET_REPORT"):
        handle = display(_bundle(widget), raw=True, display_id=True)
    try:
        yield
    finally:
        if handle:
            handle.update(_bundle(widget), raw=True)
        else:
            show(widget)


def _bundle(widget: Exportable) -> dict[str, Any]:
    """The view for pages with a kernel, and the page for other ones."""
    view = widget._repr_mimebundle_()
    data = view[0] if isinstance(view, tuple) else view  # anywidget also gives metadata
    return {**data, "text/html": widget.to_html()}
