"""show: a widget in a live notebook, what stands for it in a report."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from IPython.display import display


class Exportable(Protocol):
    """A widget with a page that needs no kernel."""

    def to_html(self) -> str: ...

    def _repr_mimebundle_(self) -> Any: ...


@runtime_checkable
class Reportable(Protocol):
    """What is figures and texts: a report draws figures by itself, so none of them brings a plotly.js of its own."""

    def report(self) -> list[Any]: ...


def show(widget: Exportable) -> None:
    """Display a widget, and beside it the page that stands for it wherever there is no kernel.

    `mmduet report` sets MMDUET_REPORT; then what stands for the widget is displayed alone.
    """
    if not os.environ.get("MMDUET_REPORT"):
        display(_bundle(widget), raw=True)
    elif isinstance(widget, Reportable):
        display(*widget.report())
    else:
        display({"text/html": widget.to_html(), "text/plain": repr(widget)}, raw=True)  # HTML() warns of iframes


@contextmanager
def showing(widget: Exportable) -> Iterator[None]:
    """Show a widget that follows what the block does: from its start, and its page as it is when the block ends."""
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
    """The view for pages with a kernel, and the page for others."""
    view = widget._repr_mimebundle_()
    data = view[0] if isinstance(view, tuple) else view  # anywidget gives metadata, too
    return {**data, "text/html": widget.to_html()}
