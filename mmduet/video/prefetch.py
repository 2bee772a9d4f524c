"""Prefetch: results computed ahead by a thread."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, TypeVar

from mmduet.system import threads
from mmduet.system.stages import stage

T = TypeVar("T")


def prefetch(items: Iterable[T], size: int) -> Iterator[T]:
    """Iterate over items in their order while a thread computes the next ones.

    An exception of an item is raised in its place. Closing this iterator ends the thread after its current item.

    Args:
        items: What the thread iterates over.
        size: Maximum items that are ready and not taken yet, >= 1.
    """
    waiting: Queue[tuple[Any, BaseException | None]] = Queue(size)
    over = Event()
    end = object()

    def work() -> None:
        try:
            for item in items:
                waiting.put((item, None))
                if over.is_set():
                    return
            waiting.put((end, None))
        except BaseException as error:
            waiting.put((end, error))

    def stop() -> None:
        over.set()
        with suppress(Empty):  # the thread may wait before a full queue
            waiting.get(timeout=0.01)

    thread = threads.start(Thread(target=work, daemon=True), stop)
    try:
        while True:
            with stage("wait"):
                item, error = waiting.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
    finally:
        while thread.is_alive():
            stop()
