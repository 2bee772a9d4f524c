"""Pool: where runs are performed. This process, one after the other; or the workers of a cluster."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from mmduet.reports.worker import Job, Report, perform

TRIES = 2  # at most, of a run whose worker ends


@dataclass(frozen=True)
class Started:
    """A run began. `place` is its worker, empty for this process; `attempt` counts from 1."""

    name: str
    place: str = ""
    attempt: int = 1


@dataclass(frozen=True)
class Advanced:
    """A run is before cell `cell` of `cells`, from 0. `log` is the text that was printed since the last event."""

    name: str
    cell: int
    cells: int
    log: str = ""


@dataclass(frozen=True)
class Ended:
    """A run ended with a report: done or failed."""

    name: str
    report: Report


@dataclass(frozen=True)
class Broken:
    """A run ended without a report, for this reason."""

    name: str
    error: str


@dataclass(frozen=True)
class Queued:
    """A run is queued again, because of what happened to its worker."""

    name: str
    reason: str


@dataclass(frozen=True)
class Noted:
    """Something that the user should know."""

    text: str


Event = Started | Advanced | Ended | Broken | Queued | Noted


class Pool(Protocol):
    """Performs runs. A context manager: what still runs when it is left is ended."""

    @property
    def parallel(self) -> int:
        """Runs at a time, as far as known."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def check(self, jobs: Sequence[Job]) -> None:
        """Raise SuiteError if a run asks for what no worker has."""

    def submit(self, job: Job) -> None:
        """Take a run."""

    def events(self) -> Iterator[Event]:
        """Wait until something happened or some seconds have passed, and tell it."""


class ThisProcess:
    """The pool of one: runs are performed here, in the plan's order."""

    parallel = 1

    def __init__(self, advanced: Callable[[Advanced], None]):
        self._queue: list[Job] = []
        self._advanced = advanced

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def check(self, jobs: Sequence[Job]) -> None:
        """One run at a time has the whole machine."""

    def submit(self, job: Job) -> None:
        """Take a run."""
        self._queue.append(job)

    def events(self) -> Iterator[Event]:
        """Perform the next run."""
        job = min(self._queue, key=lambda job: job.number)
        self._queue.remove(job)
        yield Started(job.name)
        yield Ended(
            job.name,
            perform(
                job,
                log=sys.stderr,
                progress=lambda cell, cells: self._advanced(Advanced(job.name, cell, cells)),
            ),
        )
