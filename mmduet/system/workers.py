"""Workers: a function over many items, in processes that end with this one."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import ModuleType
from typing import TypeVar

from mmduet.errors import DuetError

CHECK_EVERY = 1.0  # s
Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int, chunk: int = 1
) -> Iterator[Result]:
    """Iterate over the results of a function, in the order of the items.

    Args:
        function: A function of a module of this package, or a partial of one.
        items: Its arguments.
        workers: Processes. With one process, or one item, this process does the work.
        chunk: Items that a process takes at a time.

    Raises:
        DuetError: A process ended before its work was done.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")  # safe together with torch's threads
    others, finished = set(multiprocessing.active_children()), False
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_follow_parent)
    try:
        with without_script():
            results = pool.map(function, items, chunksize=chunk)
        yield from results
        finished = True
    except BrokenProcessPool as error:
        raise DuetError(
            "a worker process ended before its work was done, most often for lack of memory: run the same command "
            "again, with fewer workers."
        ) from error
    finally:
        if not finished:  # Ctrl-C does not wait for the current items
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def without_script() -> Iterator[None]:
    """Keep processes that are started in the block from running this process's script.

    The script may lack a `__main__` guard. The processes import what they need by name.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def end_with_launcher() -> None:
    """Make a process of several end when the launcher that started it has ended.

    Call it before the processes connect. For a single process this does nothing.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    launcher = os.getppid()

    def watch() -> None:
        gone = threading.Event()
        while os.getppid() == launcher:
            gone.wait(CHECK_EVERY)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it ends, whatever ended it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
