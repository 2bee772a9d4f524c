"""Worker processes of a pool or data loader: they end with the process that started them, and never run its script."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch.multiprocessing

CHECK_EVERY = 1.0  # s


@contextmanager
def script_left_out() -> Iterator[None]:
    """Start workers within: where processes are spawned, each would run the main script again, and a script without
    an `if __name__ == "__main__"` guard would start everything once more. What workers need is imported by name.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def end_with_parent(_: int = 0) -> None:
    """To be called in a data loader's worker (its `worker_init_fn`).

    The worker ends when its parent is gone, and leaves no shared memory. An interrupt, or a SIGTERM that the whole
    process group gets, is the parent's to handle: it may finish a step first, for which it needs the worker.
    """
    # in files that a process of torch removes after everyone who used them is gone, however they ended
    torch.multiprocessing.set_sharing_strategy("file_system")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        if hasattr(signal, "sigtimedwait"):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def end_with_launcher() -> None:
    """To be called in one of several processes that a launcher started: it ends when the launcher is gone."""
    launcher = os.getppid()

    def watch() -> None:
        gone = threading.Event()
        while os.getppid() == launcher:
            gone.wait(CHECK_EVERY)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _end_after(parent: multiprocessing.process.BaseProcess) -> None:
    """Wait until the parent is gone, or asks this process to end."""
    if hasattr(signal, "sigtimedwait"):
        asked = None
        while os.getppid() == parent.pid and (asked is None or asked.si_pid != parent.pid):
            asked = signal.sigtimedwait({signal.SIGTERM}, CHECK_EVERY)
    else:
        parent.join()
    os._exit(1)
