"""Threads that end before the program does: one that is killed at exit, within a library's C++ code, aborts it."""

import atexit
from collections.abc import Callable
from threading import Thread

PATIENCE = 10.0  # s that a thread may take for what it is at when the program ends

_running: dict[Thread, Callable[[], None]] = {}


def start(thread: Thread, stop: Callable[[], None]) -> Thread:
    """Start a daemon thread. stop: tells it to end soon; called when the program ends."""
    run = thread.run

    def work() -> None:
        try:
            run()
        finally:
            del _running[thread]

    thread.run, _running[thread] = work, stop  # type: ignore[method-assign]
    thread.start()
    return thread


@atexit.register
def _end_all() -> None:
    left = list(_running.items())
    for _, stop in left:
        stop()
    for thread, _ in left:
        thread.join(PATIENCE)
