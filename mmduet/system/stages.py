"""Stages: the engine and the decoder name the stage of their work, and a clock counts the seconds of each."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import local
from time import perf_counter

STAGES = ("decode", "resize", "wait", "vision", "language model", "generation")
PARALLEL = ("decode", "resize")  # a second thread does these where frames are decoded ahead


class StageClock:
    """Counts seconds by stage.

    Args:
        synchronize: Called before each reading by the thread that made the clock: a GPU's `synchronize`. Otherwise
            queued work would count for a later stage.

    Attributes:
        seconds: Of each stage so far.
        own: The part of them that the thread which made the clock spent. Other threads ran in parallel.
    """

    def __init__(self, synchronize: Callable[[], None] = lambda: None):
        self.seconds: dict[str, float] = defaultdict(float)
        self.own = 0.0
        self.synchronize = synchronize
        self.thread = local()
        self.thread.is_own = True

    def now(self) -> float:
        """Read the clock, s."""
        if self.is_own:
            self.synchronize()
        return perf_counter()

    @property
    def is_own(self) -> bool:
        """Whether this is the thread that made the clock."""
        return getattr(self.thread, "is_own", False)


_clock: StageClock | None = None


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count a block for the stage, unless it is already part of another stage."""
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
    """Let the clock count the stages of this process during a block."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield clock
    finally:
        _clock = before
