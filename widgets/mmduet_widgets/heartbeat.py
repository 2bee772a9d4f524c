"""Heartbeat: tells the page once a second that a run's kernel is alive, also while model or notebook are busy."""

from collections.abc import Callable
from threading import Thread

from mmduet.system import threads
from mmduet_widgets.watcher import Watcher

EVERY = 1.0  # s between two beats; the page waits for a few of them before it reports that the kernel is silent


class Heartbeat:
    """Beats in a thread of its own for as long as a watcher runs, and once more when it has ended.

    Args:
        watcher: It is started already.
        beat: Called in the thread.
    """

    def __init__(self, watcher: Watcher, beat: Callable[[Watcher], None]):
        self._watcher, self._beat = watcher, beat
        self._thread = Thread(target=self._run, name="mmduet-heartbeat", daemon=True)
        threads.start(self._thread, watcher.stop)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end. timeout: most seconds."""
        self._thread.join(timeout)

    def _run(self) -> None:
        while self._watcher.is_alive():
            self._watcher.join(EVERY)
            self._beat(self._watcher)
