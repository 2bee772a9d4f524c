"""Where the time goes: the engine and the decoder name what they do, and whoever wants to know counts seconds."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

STAGES = ("decode", "resize", "vision", "language model", "generation")


class StageClock:
    """seconds: of each stage so far. settle: called before each reading; a GPU's `synchronize`, else work that is only
    queued would count for a later stage.
    """

    def __init__(self, settle: Callable[[], None] = lambda: None):
        self.seconds: dict[str, float] = defaultdict(float)
        self.settle = settle
        self.inside = False

    def now(self) -> float:
        """s."""
        self.settle()
        return perf_counter()


_clock: StageClock | None = None


@contextmanager
def stage(name: str) -> Iterator[None]:
    """What runs inside counts for the stage, unless it is part of another one already."""
    clock = _clock
    if clock is None or clock.inside:
        yield
        return
    clock.inside, start = True, clock.now()
    try:
        yield
    finally:
        clock.inside = False
        clock.seconds[name] += clock.now() - start


@contextmanager
def count_stages(clock: StageClock) -> Iterator[StageClock]:
    """Let the clock count what this process does inside."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield clock
    finally:
        _clock = before
