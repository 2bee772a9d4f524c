"""Interrupts: what SIGTERM and Ctrl-C do in a block."""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any


class Terminated(KeyboardInterrupt):
    """The process received SIGTERM."""


def _terminate(*_: object) -> None:
    raise Terminated


@contextmanager
def handling(handlers: Mapping[Any, Any]) -> Iterator[None]:
    """Handle signals with these handlers in a block, and with the earlier ones after it.

    Only the main thread can handle signals. In another thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def terminable() -> AbstractContextManager[None]:
    """Make SIGTERM raise Terminated in a block, as Ctrl-C raises KeyboardInterrupt."""
    return handling({signal.SIGTERM: _terminate})
