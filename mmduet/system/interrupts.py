"""Interrupts: what SIGTERM and Ctrl-C mean in a block."""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def _terminate(*_: object) -> None:
    raise Terminated


@contextmanager
def handling(handlers: Mapping[Any, Any]) -> Iterator[None]:
    """Handle signals (signal -> handler) so within; afterwards they mean what they meant before. Only a main thread
    can take signals; in another thread nothing changes.
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
    """Within, SIGTERM raises Terminated, as Ctrl-C raises KeyboardInterrupt."""
    return handling({signal.SIGTERM: _terminate})
