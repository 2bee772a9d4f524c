"""Log: what the runs printed and what became of them, while they run."""

import time
from collections import defaultdict
from pathlib import Path

from mmduet.files import remove, write_file
from mmduet.reports.board import live_log

WRITE_EVERY = 2.0  # s
MAX_KEPT = 2_000_000  # characters of a log


class Logs:
    """The logs of running runs, each in a file of the folder that is written every few seconds."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._texts: dict[str, str] = defaultdict(str)
        self._changed: set[str] = set()
        self._written = 0.0

    def add(self, name: str, text: str) -> None:
        """Add text to a run's log."""
        if text:
            self._texts[name] = (self._texts[name] + text)[-MAX_KEPT:]
            self._changed.add(name)

    def note(self, name: str, text: str) -> None:
        """Add a line of our own, such as the reason why a try ended."""
        start = "\n" if self._texts[name] and not self._texts[name].endswith("\n") else ""
        self.add(name, f"{start}[mmduet report] {text}\n")

    def text(self, name: str) -> str:
        """A run's log so far."""
        return self._texts[name]

    def write(self, *, now: bool = False) -> None:
        """Write the logs that changed, unless that was done a moment ago; `now`: also then."""
        if not now and time.monotonic() - self._written < WRITE_EVERY:
            return
        for name in self._changed:
            write_file(self._folder / live_log(name), self._texts[name])
        self._changed.clear()
        self._written = time.monotonic()

    def end(self, name: str) -> str:
        """Return a run's log so far, and forget it and its file."""
        self._changed.discard(name)
        remove(self._folder / live_log(name))
        return self._texts.pop(name, "")
