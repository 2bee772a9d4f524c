"""The training data loader, whose workers end with the process that started them and never run its script."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.multiprocessing
from torch.utils.data import DataLoader

from mmduet.errors import DuetError
from mmduet.system.workers import without_script

CHECK_EVERY = 1.0  # s


def make_loader(dataset: Any, *, workers: int, **settings: Any) -> DataLoader[Any]:
    """A data loader that draws random numbers from its own generator only."""
    return DataLoader(
        dataset, num_workers=workers, persistent_workers=workers > 0, worker_init_fn=_start_worker, drop_last=True,
        generator=torch.Generator(), **settings,
    )  # fmt: skip


@contextmanager
def loading() -> Iterator[None]:
    """Take batches within this block. Workers that are started in it do not run the main script (`without_script`).

    Raises:
        DuetError: A worker raised it, or a worker ended.
    """
    try:
        with without_script():
            yield
    except DuetError as error:
        # the message of a worker's error is its traceback, which ends in the error's class and its own message
        message = str(error).rpartition(f"{type(error).__module__}.{type(error).__qualname__}: ")[2]
        raise type(error)(message.strip()) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DuetError(
            f"a worker of the data loader ended ({str(error).splitlines()[0]}): if memory ran out, lower `workers`; "
            "the same command resumes from the newest checkpoint."
        ) from error


def _start_worker(_: int) -> None:
    """Prepare a worker: it ends after its parent, leaves no shared memory, and ignores signals to the whole group.

    The parent handles an interrupt or SIGTERM: it finishes a step first, for which it needs the worker.
    """
    # in files that a process of torch removes after all their users have ended, in whatever way
    torch.multiprocessing.set_sharing_strategy("file_system")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigtimedwait"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_after, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_after(parent: Any) -> None:
    """Wait until the parent has ended, or asks this process to end."""
    if hasattr(signal, "sigtimedwait"):
        received = None
        while os.getppid() == parent.pid and (received is None or received.si_pid != parent.pid):
            received = signal.sigtimedwait({signal.SIGTERM}, CHECK_EVERY)
    else:
        parent.join()
    os._exit(1)
