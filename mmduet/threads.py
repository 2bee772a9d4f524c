"""Threads that end before the program does: one that is killed at exit, within a library's C++ code, aborts it."""

import atexit
from collections.abc import Callable
from threading import Thread
from weakref import WeakKeyDictionary

PATIENCE = 5.0  # s that a thread may take for what it is at when the program ends

_running: WeakKeyDictionary[Thread, Callable[[], None]] = WeakKeyDictionary()


def start_thread(work: Callable[[], None], stop: Callable[[], None], *, name: str | None = None) -> Thread:
    """Let a thread of its own do some work. stop: tells it to end soon; called when the program ends."""
    thread = Thread(target=work, name=name, daemon=True)
    _running[thread] = stop
    thread.start()
    return thread


@atexit.register
def _end_all() -> None:
    left = [(thread, stop) for thread, stop in _running.items() if thread.is_alive()]
    for _, stop in left:
        stop()
    for thread, _ in left:
        thread.join(PATIENCE)
