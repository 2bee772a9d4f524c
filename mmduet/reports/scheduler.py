"""Scheduler: starts a cluster on this machine or on another engine, or connects with one that is there."""

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmduet.errors import SuiteError
from mmduet.reports import remote
from mmduet.reports.cluster import Cluster
from mmduet.reports.cluster_file import Range, read_cluster, start_jobs
from mmduet.system.interrupts import held

INSTALL = "runs on several workers need Dask: pip install 'mmduet-workbench[cluster]'"
CONNECT = 10  # s
# Dask sets a level for some of its loggers, which then do not take that of "distributed"
QUIET = (
    "distributed", "distributed.client", "distributed.core", "distributed.gc", "distributed.nanny",
    "distributed.scheduler", "distributed.worker",
)  # fmt: skip


def start_local(workers: int, *, gpus: Sequence[str] | None = None) -> Cluster:
    """Start a scheduler and its workers on this machine. They end with this process.

    Args:
        workers: Number of workers, each of which performs one run at a time.
        gpus: Devices as in CUDA_VISIBLE_DEVICES; each goes to one worker, and the others see none. None: those of this
            machine.

    Raises:
        SuiteError: Dask is not installed.
    """
    dask = _dask()
    from distributed import Nanny, Scheduler, SpecCluster
    from distributed.system import MEMORY_LIMIT

    gpus, memory = own_gpus() if gpus is None else gpus, int(MEMORY_LIMIT // workers)
    threads = str(max(1, (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1) // workers))

    def options(number: int) -> dict[str, Any]:
        device = gpus[number] if number < len(gpus) else ""
        resources = {"memory": float(memory)} | ({"gpu": 1.0} if device else {})
        seen = {"CUDA_VISIBLE_DEVICES": device} if gpus else {}
        return {
            "nthreads": 1,
            "memory_limit": memory,
            "resources": resources,
            "env": {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)} | seen,
            "dashboard_address": None,
            "silence_logs": logging.CRITICAL,
            "host": "127.0.0.1",
            "preload": [remote.__name__],
        }

    # the first worker that ends while it has a run is told at once; this side counts the tries
    with held(), dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        cluster = SpecCluster(
            scheduler={"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}},
            workers={number: {"cls": Nanny, "options": options(number)} for number in range(workers)},
            silence_logs=logging.CRITICAL,
        )

        def close() -> None:
            cluster.close(timeout=10)

        return _opened(cluster, "of this machine", close=close)


def connect(address: str) -> Cluster:
    """Use the scheduler at an address, such as tcp://node1:8786.

    Raises:
        SuiteError: Dask is not installed, or the scheduler does not answer.
    """
    _dask()
    return _opened(address, address)


def start_from_file(path: Path | str) -> Cluster:
    """Start a scheduler in this process, and the workers that a cluster file asks for.

    Raises:
        SuiteError: Dask is not installed, or the file is wrong.
    """
    written = read_cluster(path)
    _dask()
    refused: list[str] = []
    cluster = start_jobs(written, path, refused)
    count = written.jobs.maximum if isinstance(written.jobs, Range) else written.jobs
    coming = [written.resources.amounts] * count
    return _opened(cluster, f"of {path}", close=cluster.close, coming=coming, refused=refused)


def own_gpus() -> list[str]:
    """The GPUs of this machine, as in CUDA_VISIBLE_DEVICES."""
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    return [path.name.removeprefix("nvidia") for path in sorted(Path("/dev").glob("nvidia[0-9]*"))]


def _opened(
    target: Any,
    name: str,
    close: Callable[[], None] = lambda: None,
    coming: Sequence[Any] = (),
    refused: Sequence[str] = (),
) -> Cluster:
    from distributed import Client

    try:
        client = Client(target, timeout=CONNECT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        close()
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SuiteError(
            f"the scheduler {name} does not answer ({reason}): start it with `dask scheduler`, or correct the address"
        ) from error

    def close_both() -> None:
        with suppress(Exception):
            client.close(timeout=5)
        close()

    return Cluster(client, name=name, close=close_both, coming=coming, refused=refused)


def _dask() -> Any:
    try:
        import dask
        import distributed  # noqa: F401
    except ImportError as error:
        raise SuiteError(INSTALL) from error
    _quiet()
    return dask


def _quiet() -> None:
    """Keep Dask's own messages from the terminal: the board tells what happens."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
