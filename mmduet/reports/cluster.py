"""Cluster: the pool whose runs are performed by the workers of Dask, on this machine or on others."""

import queue
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, Self

from mmduet.errors import DuetError, SuiteError
from mmduet.reports.pool import TRIES, Advanced, Broken, Ended, Event, Noted, Queued, Started
from mmduet.reports.publication import pack, read_mark
from mmduet.reports.remote import FilesMissing, run_here
from mmduet.reports.resources import shown_amounts, shown_offers
from mmduet.reports.worker import Job, Report

if TYPE_CHECKING:
    from distributed import Client

WAIT = 1.0  # s that `events` waits for something to happen
NO_WORKER = "no worker is present: runs wait until one is"


class SchedulerLost(DuetError):
    """The scheduler has ended, or cannot be reached."""


@dataclass
class _Submission:
    """A run at the scheduler. `starts` counts how often a worker began it, `attempt` also those of earlier ones."""

    job: Job
    token: str
    future: Any
    attempt: int
    starts: int = 0
    inputs: Mapping[str, bytes] | None = field(default=None, repr=False)


class Cluster:
    """The workers of one Dask scheduler.

    Args:
        client: A client of the scheduler.
        close: Ends what was started together with the client.
        name: What to call the scheduler.
        coming: What workers will have that have not come yet.
        refused: Why no worker can come. Empty until the first one cannot, and if one can.
    """

    def __init__(
        self,
        client: "Client",
        *,
        name: str,
        close: Callable[[], None] = lambda: None,
        coming: Sequence[Mapping[str, float]] = (),
        refused: Sequence[str] = (),
    ):
        self._client, self._name, self._close, self._coming, self._refused = client, name, close, coming, refused
        self._happened: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._open: dict[str, _Submission] = {}
        self._topic = f"mmduet-{secrets.token_hex(8)}"
        self._is_empty = False
        self._mark: str | None = None
        client.subscribe_topic(self._topic, lambda event: self._happened.put(event[1]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_connected:  # else each call waits for a scheduler that has ended
            with suppress(OSError, TimeoutError, ValueError):
                self._client.cancel([submission.future for submission in self._open.values()])
        self._close()

    @property
    def parallel(self) -> int:
        """The workers that are present, or will come."""
        return max(1, len(self._workers() or self._coming))

    @property
    def dashboard(self) -> str:
        """The address of Dask's own pages."""
        return str(self._client.dashboard_link)

    def check(self, jobs: Sequence[Job]) -> None:
        """Raise SuiteError if a run asks for what no worker has, or a worker performs several runs at once."""
        workers = self._workers()
        offers = [*(worker["resources"] for worker in workers.values()), *self._coming]
        for address, worker in workers.items():
            if worker["nthreads"] > 1:
                raise SuiteError(
                    f"the worker {address} has {worker['nthreads']} threads, and each would run a notebook: start the "
                    "workers with `dask worker --nthreads 1`"
                )
        for job in jobs if offers else ():
            if not any(job.resources.fit(offer) for offer in offers):
                raise SuiteError(
                    f"run {job.name} needs {shown_amounts(job.resources.amounts)}, which no worker has "
                    f"({shown_offers(offers)}): start one with `dask worker --resources`, or ask for less"
                )

    def submit(self, job: Job) -> None:
        """Take a run."""
        self._send(job, attempt=1, inputs=None)

    def events(self) -> Iterator[Event]:
        """Wait for what happens next, and tell it. Raises SuiteError if no worker is present and none can come."""
        yield from self._presence()
        try:
            happened = self._happened.get(timeout=WAIT)
        except queue.Empty:
            self._check_scheduler()
            return
        if isinstance(happened, str):
            yield from self._ended(happened)
        else:
            yield from self._told(happened)

    def _send(self, job: Job, *, attempt: int, inputs: Mapping[str, bytes] | None) -> None:
        token = secrets.token_hex(8)
        if self._mark is None:
            self._mark = read_mark(job.folder)
        future = self._client.submit(
            run_here, job, token, self._topic, self._mark, inputs,
            key=f"{job.name}-{token}", pure=False, retries=0, priority=-job.number,
            resources=job.resources.amounts or None,
        )  # fmt: skip
        self._open[token] = _Submission(job, token, future, attempt, inputs=inputs)
        future.add_done_callback(lambda _: self._happened.put(token))

    def _presence(self) -> Iterator[Event]:
        is_empty = not self._workers()
        if is_empty and self._refused:
            raise SuiteError(
                f"no worker of the cluster {self._name} can be started ({self._refused[-1]}): run this on a machine "
                "that can submit jobs, or correct the options; the reports made so far are kept"
            )
        if is_empty != self._is_empty:
            yield Noted(NO_WORKER if is_empty else "workers are present")
        self._is_empty = is_empty

    def _told(self, message: Mapping[str, Any]) -> Iterator[Event]:
        """The event that a worker told."""
        submission = self._open.get(message["token"])
        if submission is None:
            return
        name = submission.job.name
        if message["kind"] == "advanced":
            yield Advanced(name, message["cell"], message["cells"], message["log"])
            return
        submission.starts += 1
        attempt = submission.attempt + submission.starts - 1
        if attempt > TRIES:
            yield from self._given_up(submission)
        else:
            yield Started(name, message["worker"], attempt)

    def _ended(self, token: str) -> Iterator[Event]:
        """What becomes of a run whose future is done."""
        submission = self._open.get(token)
        if submission is None:
            return
        job, future = submission.job, submission.future
        if future.status in ("cancelled", "lost"):
            self._lost()
        error = future.exception() if future.status == "error" else None
        if error is None:
            report: Report = future.result()
            del self._open[token]
            yield Ended(job.name, report)
        elif isinstance(error, FilesMissing):
            del self._open[token]
            self._send(job, attempt=submission.attempt, inputs=pack(job.folder, list(job.needs)))
        elif type(error).__name__ == "KilledWorker":
            yield from self._try_again(submission)
        else:
            del self._open[token]
            yield Broken(job.name, f"{type(error).__name__}: {error}".splitlines()[0])

    def _try_again(self, submission: _Submission) -> Iterator[Event]:
        """Send a run whose worker ended again, unless it was tried often enough."""
        tried = submission.attempt - 1 + submission.starts
        if tried >= TRIES:
            yield from self._given_up(submission)
            return
        del self._open[submission.token]
        if submission.starts:
            yield Queued(submission.job.name, "its worker ended; the run is tried again")
        self._send(submission.job, attempt=tried + 1, inputs=submission.inputs)

    def _given_up(self, submission: _Submission) -> Iterator[Event]:
        del self._open[submission.token]
        submission.future.cancel()
        error = (
            f"the run was tried {TRIES} times, and each time its worker ended: it was killed, preempted, or out "
            "of memory"
        )
        yield Broken(submission.job.name, error)

    @property
    def _is_connected(self) -> bool:
        return bool(self._client.status == "running")

    def _workers(self) -> dict[str, Any]:
        if not self._is_connected:
            self._lost()
        try:
            workers: dict[str, Any] = self._client.scheduler_info()["workers"]
        except (OSError, TimeoutError, ValueError):
            self._lost()
        return workers

    def _check_scheduler(self) -> None:
        states = {submission.future.status for submission in self._open.values()}
        if not self._is_connected or states & {"lost", "cancelled"}:
            self._lost()

    def _lost(self) -> NoReturn:
        raise SchedulerLost(
            f"the scheduler {self._name} has ended or cannot be reached: start it, and run the same command again; the "
            "reports made so far are kept."
        )
