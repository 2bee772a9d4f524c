"""Board: what each run of a suite is doing now, for the index and the terminal."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mmduet.reports.index import Live
from mmduet.reports.plan import Step
from mmduet.reports.pool import Advanced, Started
from mmduet.reports.records import format_duration
from mmduet.reports.worker import LOGS


@dataclass(frozen=True)
class _Now:
    """A run that was started."""

    began: float
    place: str
    attempt: int
    cell: int = 0
    cells: int = 0


class Board:
    """Which runs are queued, running, stopped, blocked and ended, and how long the rest will take.

    Args:
        steps: The runs to make.
        parallel: Runs at a time.
    """

    def __init__(self, steps: Sequence[Step], parallel: int):
        self.parallel = parallel
        self._queued = {step.run.name: step for step in steps}
        self._running: dict[str, _Now] = {}
        self._blocked: dict[str, Live] = {}
        self._count = len(steps)
        self._failed = 0
        self._seconds: list[float] = []
        self._stopped = ""

    def start(self, event: Started) -> None:
        """Note that a run began."""
        self._running[event.name] = _Now(time.monotonic(), event.place, event.attempt)

    def advance(self, event: Advanced) -> None:
        """Note how far a run is."""
        if event.name in self._running:
            self._running[event.name] = replace(self._running[event.name], cell=event.cell, cells=event.cells)

    def wait(self, name: str) -> None:
        """Note that a run is queued again."""
        self._running.pop(name, None)

    def block(self, name: str, reason: str) -> None:
        """Note that a run will not start."""
        self._queued.pop(name, None)
        self._blocked[name] = Live("not run", reason)

    def end(self, name: str, seconds: float, *, failed: bool) -> None:
        """Note that a run ended after so many seconds."""
        self._running.pop(name, None)
        self._queued.pop(name, None)
        self._failed += failed
        self._seconds.append(seconds)

    def stop(self) -> None:
        """Note that the command ends, and with it all that is running."""
        self._stopped = _clock()

    @property
    def live(self) -> dict[str, Live]:
        """The runs that have not ended, and those that will not start."""
        return {name: self._live(name) for name in self._queued} | self._blocked

    @property
    def left(self) -> str:
        """The time that the rest will take: `about 3 min 20 s left at 14:05:00 UTC`; nothing when all have ended.

        After `stop`: how the rest is made.
        """
        if not self._queued:
            return ""
        if self._stopped:
            return f"stopped at {self._stopped}; the same command resumes"
        clock = _clock()
        if not self._seconds:
            return f"time left not known yet at {clock}"
        mean, now = sum(self._seconds) / len(self._seconds), time.monotonic()
        passed = sum(min(mean, now - run.began) for run in self._running.values())
        seconds = (mean * len(self._queued) - passed) / min(max(1, self.parallel), len(self._queued))
        return f"about {format_duration(max(0.0, seconds))} left at {clock}"

    @property
    def line(self) -> str:
        """The progress for the terminal: `5 of 12 runs ended (1 failed), 2 running, about 3 min 20 s left at 14:05`."""
        failed = f" ({self._failed} failed)" if self._failed else ""
        words = [f"{self._count - len(self._queued)} of {self._count} runs ended{failed}"]
        words += [f"{len(self._running)} running"] if self._running else []
        return ", ".join([*words, *([self.left] if self._queued else [])])

    def _live(self, name: str) -> Live:
        now = self._running.get(name)
        if now is None and self._stopped:
            return Live("waiting")
        if now is None:
            needs = self._queued[name].run.needs
            open_ = [needed for needed in needs if needed in self._queued]
            return Live("queued", f"after {', '.join(open_)}" if open_ else "")
        words = [f"cell {now.cell + 1} of {now.cells}"] if now.cells else ["starting"]
        words += [format_duration(time.monotonic() - now.began)]
        words += [f"try {now.attempt}"] if now.attempt > 1 else []
        words += [f"at {now.place}"] if now.place else []
        status = "stopped" if self._stopped else "running"
        return Live(status, ", ".join(words), live_log(name) if now.place else "")


def _clock() -> str:
    return f"{datetime.now(UTC):%H:%M:%S} UTC"


def live_log(name: str) -> str:
    """The log of a run that is running, relative to the folder of reports."""
    return f"{LOGS}/{name}.running.log"
