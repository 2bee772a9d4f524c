"""Threads that end before the program does: a thread killed at exit in a library's C++ code aborts the program."""

import atexit
from collections.abc import Callable
from threading import Thread

PATIENCE = 10.0  # s that a thread may take to end when the program ends

_running: dict[Thread, Callable[[], None]] = {}


def start(thread: Thread, stop: Callable[[], None]) -> Thread:
    """Start a daemon thread that ends before the program does.

    Args:
        thread: The thread.
        stop: Makes the thread end soon. It is called when the program ends.
    """
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
    remaining = list(_running.items())
    for _, stop in remaining:
        stop()
    for thread, _ in remaining:
        thread.join(PATIENCE)
