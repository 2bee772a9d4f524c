"""An honest split: choose a setting on one half, report on the other."""

from collections.abc import Sequence
from random import Random


def halves(groups: Sequence[str], *, seed: int = 0) -> tuple[list[int], list[int]]:
    """Indices of two halves, such that examples of one group (a video) are in the same half."""
    names = sorted(set(groups))
    Random(seed).shuffle(names)
    first = set(names[: (len(names) + 1) // 2])
    inside = [group in first for group in groups]
    return [i for i, there in enumerate(inside) if there], [i for i, there in enumerate(inside) if not there]
