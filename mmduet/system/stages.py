"""Where the time goes: the engine and the decoder name what they do, and whoever wants to know counts seconds."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import local
from time import perf_counter

STAGES = ("decode", "resize", "wait", "vision", "language model", "generation")
BESIDE = ("decode", "resize")  # where frames are decoded ahead, a thread of its own does these


class StageClock:
    """seconds: of each stage so far. own: the part of them that the thread which made the clock spent; what others did
    ran beside it. settle: called before each reading of that thread; a GPU's `synchronize`, else work that is only
    queued would count for a later stage.
    """

    def __init__(self, settle: Callable[[], None] = lambda: None):
        self.seconds: dict[str, float] = defaultdict(float)
        self.own = 0.0
        self.settle = settle
        self.thread = local()
        self.thread.is_own = True

    def now(self) -> float:
        """s."""
        if self.is_own:
            self.settle()
        return perf_counter()

    @property
    def is_own(self) -> bool:
        """Whether this is the thread that made the clock."""
        return getattr(self.thread, "is_own", False)


_clock: StageClock | None = None


@contextmanager
def stage(name: str) -> Iterator[None]:
    """What runs inside counts for the stage, unless it is part of another one already."""
    clock = _clock
    if clock is None or getattr(clock.thread, "inside", False):
        yield
        return
    clock.thread.inside, start = True, clock.now()
    try:
        yield
    finally:
        clock.thread.inside = False
        took = clock.now() - start
        clock.seconds[name] += took
        if clock.is_own:
            clock.own += took


@contextmanager
def count_stages(clock: StageClock) -> Iterator[StageClock]:
    """Let the clock count what this process does inside."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield clock
    finally:
        _clock = before
