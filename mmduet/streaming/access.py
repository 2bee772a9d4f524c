"""Access: who may use a session, the newest iteration of it and one thread at a time."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from threading import Lock
from typing import TypeVar

from mmduet.errors import DuetError

T = TypeVar("T")


class Access:
    """Keeps two videos out of one context.

    An older iteration that is resumed raises, and so does a thread that comes while another one computes.
    """

    def __init__(self) -> None:
        self._lock, self._newest = Lock(), object()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Use the session in this block; earlier iterations are then at their end.

        Raises:
            DuetError: Another thread uses it.
        """
        with self._locked():
            self._newest = object()
            yield

    def newest(self, items: Generator[T, None, None]) -> Generator[T, None, None]:
        """Iterate over items as long as no later iteration begins, and no `alone`.

        Raises:
            DuetError: One has begun, or another thread uses the session.
        """
        with closing(items):
            with self.alone():
                own = self._newest
            while True:
                with self._locked():
                    if self._newest is not own:
                        raise DuetError(
                            "this session has begun another video, or other frames of this one: give each video a "
                            "session of its own, from session.fresh()."
                        )
                    item = next(items, None)
                if item is None:
                    return
                yield item

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise DuetError(
                "this session is in use by another thread: give each thread a session of its own, from session.fresh()."
            )
        try:
            yield
        finally:
            self._lock.release()
