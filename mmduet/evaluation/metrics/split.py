"""Two halves of the data: choose a setting on one, report on the other."""

from collections.abc import Sequence
from random import Random


def halves(groups: Sequence[str], *, seed: int = 0) -> tuple[list[int], list[int]]:
    """The indices of two halves; samples of one group (a video) are in the same half."""
    names = sorted(set(groups))
    Random(seed).shuffle(names)
    first = set(names[: (len(names) + 1) // 2])
    inside: list[int] = []
    outside: list[int] = []
    for index, group in enumerate(groups):
        (inside if group in first else outside).append(index)
    return inside, outside
