"""A stopwatch for the scripts of this folder."""

from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Seconds of the processor, the median of all runs; and what came out."""
    seconds = []
    for _ in range(repeats):
        start = process_time()
        result = work()
        seconds.append(process_time() - start)
    return median(seconds), result
