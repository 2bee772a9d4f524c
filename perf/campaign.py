"""Campaigns: many interrupted runs of jobs, counted in a table. Import it first: it sets the environment."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "GLOO_SOCKET_IFNAME": "lo"}

import psutil

CHANGING = re.compile(r"(?<=nonce[-=])[\w\"-]+|\d{4}-\d\d-\d\d \d\d:\d\d UTC|\d+\.\d s\b|\d+ min \d+ s\b")  # in a page


class Table:
    """A printed table: a row for each job, with its number of attempts and counts of failures, which must be 0."""

    def __init__(self, attempts: str, *failures: str):
        self.attempts, self.failures, self.has_failed = attempts, failures, False
        print(f"{'job':10}", *self._columns(), flush=True)

    def add(self, job: str, counts: Counter[str]) -> None:
        """Print a job's row."""
        self.has_failed |= any(counts[name] for name in self.failures)
        print(f"{job:10}", *(f"{counts[name.strip()]:{len(name)}}" for name in self._columns()), flush=True)

    def _columns(self) -> list[str]:
        return [f"{name:>6}" for name in (self.attempts, *self.failures)]


def members(session: int) -> Iterator[psutil.Process]:
    """Iterate over the processes of a session that have not ended."""
    for process in psutil.process_iter():
        with suppress(OSError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def difference(found: object, expected: object) -> str:
    """Show the first place in which two results differ."""
    one, other = str(found), str(expected)
    same = next((n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    start = max(0, same - 500)
    return f"...{one[start:][:1500]}\ninstead of\n...{other[start:][:1500]}"
