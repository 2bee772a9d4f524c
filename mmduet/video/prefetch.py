"""prefetch: let a thread work ahead of whoever takes the results."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, TypeVar

from mmduet.system import threads
from mmduet.system.stages import stage

T = TypeVar("T")


def prefetch(items: Iterable[T], size: int) -> Iterator[T]:
    """The items in their order, made in a thread of their own, at most `size` (>= 1) of them waiting to be taken.

    What making them raises is raised here, in its place. Closing this iterator ends the thread after the item it is at.
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
        with suppress(Empty):  # it may stand before a full queue
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
