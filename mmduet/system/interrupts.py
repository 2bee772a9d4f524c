"""Interrupts: what SIGTERM and Ctrl-C do in a block."""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import resource_tracker
from typing import Any

STOPPING = {signal.SIGINT, signal.SIGTERM}


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


@contextmanager
def held() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM in a block, until it ends.

    Threads that start in the block, and the processes that these start, hold them back until they call `release`.
    Windows cannot do this: there the block is as any other.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # the thread that starts it loses what it holds back
    came: list[int] = []  # to other threads of this process, which began before the block
    remember = dict.fromkeys(STOPPING, lambda number, _: came.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        with handling(remember):
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in came[:1]:
            signal.raise_signal(number)


def release() -> None:
    """Receive what a parent's `held` made this process hold back."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


def terminable() -> AbstractContextManager[None]:
    """Make SIGTERM raise Terminated in a block, as Ctrl-C raises KeyboardInterrupt."""
    return handling({signal.SIGTERM: _terminate})
