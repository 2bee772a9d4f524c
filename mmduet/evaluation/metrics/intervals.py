"""Overlap of time intervals."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def overlap(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Seconds that two intervals share.

    Args:
        a: Intervals (start, end), s: float64 [..., 2].
        b: The same, broadcast with `a`.

    Returns:
        float64 [...], 0 where the intervals do not meet.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    shared: NDArray[np.float64] = np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0])
    return np.maximum(0, shared)


def interval_iou(a: ArrayLike, b: ArrayLike, *, epsilon: float = 0.0) -> NDArray[np.float64]:
    """Intersection over union of two intervals.

    Args:
        a: Intervals (start, end), s: float64 [..., 2].
        b: The same, broadcast with `a`.
        epsilon: Added to the union, s.

    Returns:
        float64 [...], in [0, 1]; 0 where both intervals are empty.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    shared = overlap(a, b)
    union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - shared + epsilon
    iou: NDArray[np.float64] = np.divide(shared, union, out=np.zeros(union.shape), where=union > 0)
    return iou
