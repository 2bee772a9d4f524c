"""Remote: one run at a worker of Dask, watched. This runs in the worker's process, and its kernel is a child of it.

A run whose `mmduet report` has gone, or that the scheduler takes back, is ended. So is one that needs more memory than
its worker has.
"""

import io
import logging
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Self

import psutil

from mmduet.reports.publication import placed
from mmduet.reports.worker import Job, Report, perform
from mmduet.system.interrupts import release

LOOK_EVERY = 0.25  # s
TELL_EVERY = 4  # looks
MAX_TOLD = 20_000  # characters of a log in one event


class FilesMissing(Exception):
    """The run needs files of others, and this machine does not share their folder."""


def dask_setup(_: Any) -> None:
    """Prepare a worker that `mmduet report` started. Dask calls this before the worker takes a run.

    Ctrl-C goes to `mmduet report` and its workers alike. `mmduet report` handles it, and ends its workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    release()
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # the report states what ended a run


def run_here(job: Job, token: str, topic: str, mark: str, inputs: Mapping[str, bytes] | None) -> Report:
    """Perform a run in a Dask worker, and send what happens as events of a topic.

    Args:
        job: The run.
        token: Names this submission of the run, in its events.
        topic: Dask's topic for the events.
        mark: The content of the lock of the folder of reports.
        inputs: Files of the runs that this one needs; None: they were not sent.

    Raises:
        FilesMissing: `inputs` are needed.
    """
    with placed(job, mark, inputs or {}) as (here, files):
        if here is not job and job.needs and inputs is None:
            raise FilesMissing(job.name)
        with _Watch(token, topic) as watch:
            report = perform(job, log=watch.log, progress=watch.advance, reason=lambda: watch.reason, place=here)
            watch.raise_if_taken_back()
        return replace(report, files=files())


class _Watch:
    """Looks after the run that the worker's thread performs: tells its progress, and ends its kernel if it must end."""

    def __init__(self, token: str, topic: str):
        from distributed import get_worker

        self._worker: Any = get_worker()
        self._key = self._worker.get_current_task()
        self._token, self._topic = token, topic
        self._over = threading.Event()
        self._place = (0, 0)
        self._told: tuple[Any, ...] = ()
        self.log, self.reason, self._is_taken_back = _Log(), "", False
        self._thread = threading.Thread(target=self._look, name="mmduet-watch", daemon=True)

    def __enter__(self) -> Self:
        self._tell(kind="started", worker=self._worker.address)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def advance(self, cell: int, cells: int) -> None:
        """Note the cell that runs now."""
        self._place = (cell, cells)

    def raise_if_taken_back(self) -> None:
        """Give up if nobody waits for the result."""
        if self._is_taken_back:
            raise RuntimeError("the scheduler took the run back")

    def _look(self) -> None:
        looks = 0
        while not self._over.wait(LOOK_EVERY):
            looks += 1
            if self._must_end():
                self._end_kernel()
            if looks % TELL_EVERY == 0:
                self._tell_progress()

    def _must_end(self) -> bool:
        state = self._worker.state.tasks.get(self._key)
        if state is None or state.state not in ("executing", "long-running"):
            self._is_taken_back = True
            return True
        limit = self._worker.memory_manager.memory_limit
        if limit and not self.reason and (used := _memory_of_children(limit)) > limit:
            self.reason = (
                f"the run is out of memory: its processes used {used / 1e9:.2f} GB, and its worker has "
                f"{limit / 1e9:.2f} GB; give it more, or ask for less"
            )
        return bool(self.reason)

    def _end_kernel(self) -> None:
        for process in _children():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _tell_progress(self) -> None:
        now = (*self._place, fresh := self.log.fresh())
        if fresh or now != self._told:
            self._tell(kind="advanced", cell=now[0], cells=now[1], log=fresh)
            self._told = now

    def _tell(self, **message: Any) -> None:
        with suppress(Exception):  # the connection to the scheduler has ended, and this worker ends soon
            self._worker.log_event(self._topic, {"token": self._token, **message})


class _Log(io.TextIOBase):
    """Text that cells printed; `fresh` gives what is new. The worker's own stderr shows it too."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            self._pieces.append(text)
        return sys.stderr.write(text)

    def isatty(self) -> bool:
        return False

    def fresh(self) -> str:
        """The text since the last call; its end, if it is long."""
        with self._lock:
            pieces, self._pieces = self._pieces, []
        return "".join(pieces)[-MAX_TOLD:]


def _children() -> list[psutil.Process]:
    """The kernel, and the processes that it started."""
    return psutil.Process().children(recursive=True)


def _memory_of_children(limit: float) -> int:
    """Bytes that the kernel and its processes use. Where that passes the limit, shared memory counts once."""
    used = _total(lambda process: process.memory_info().rss)
    if used > limit and psutil.LINUX:
        return _total(lambda process: process.memory_full_info().pss)
    return used


def _total(measure: Callable[[psutil.Process], int]) -> int:
    total = 0
    for process in _children():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += measure(process)
    return total
