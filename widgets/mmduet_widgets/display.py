"""show: displays a widget in a live notebook, and a page that replaces it in a report."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from IPython.display import HTML, display

from mmduet.trace import DuetTrace
from mmduet_widgets.still import page_with_still


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
    """Display a widget together with the page that replaces it in exports.

    A notebook that is not trusted runs no script, and shows a still: the curves as a picture, and the words. JupyterLab
    does not fall back to the page when a trusted notebook is reopened without its kernel: it shows the widget only if
    the notebook was saved with its widgets' state (Settings > Save Widget State Automatically).

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
    """The view for pages with a kernel, and the page for other ones, with a still for untrusted notebooks."""
    view = widget._repr_mimebundle_()
    data = view[0] if isinstance(view, tuple) else view  # anywidget also gives metadata
    trace = getattr(widget, "trace", None)
    parts = widget.report() if isinstance(widget, Reportable) else []
    page = page_with_still(
        widget.to_html(),
        trace=trace if isinstance(trace, DuetTrace) else None,
        texts=[part.data for part in parts if isinstance(part, HTML)],
    )
    return {**data, "text/html": page}
