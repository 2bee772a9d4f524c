"""Smoothing and scaling of score curves.

Neither is causal: both use frames that a live model has not seen yet.
"""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mmduet.errors import DuetError

Curve = NDArray[np.float64]


def smooth(curves: Sequence[Curve], window: int) -> list[Curve]:
    """Replace each value by the mean over a window around it, cut at the ends.

    Each mean equals NumPy's mean of the slice to the last bit, so that scores that tie in the published evaluation
    tie here.

    Args:
        curves: float64 [n] each, of any lengths.
        window: Frames on each side, 0 or more.

    Raises:
        DuetError: The window is negative.
    """
    if window < 0:
        raise DuetError(f"window={window}: must be at least 0 frames on each side.")
    by_length: dict[int, list[int]] = {}
    for index, curve in enumerate(curves):
        by_length.setdefault(len(curve), []).append(index)
    smoothed: list[Curve] = [np.empty(0)] * len(curves)
    for indices in by_length.values():
        rows = _smooth_equally_long(np.stack([curves[i] for i in indices]).astype(float), window)
        for index, row in zip(indices, rows, strict=True):
            smoothed[index] = row
    return smoothed


def _smooth_equally_long(rows: Curve, window: int) -> Curve:
    """[m, n] -> [m, n]."""
    count, width = rows.shape[1], 2 * window + 1
    result = np.empty_like(rows)
    inner = range(window, max(window, count - window))
    if inner:
        # a copy: NumPy adds in another order where windows overlap in memory
        result[:, inner.start : inner.stop] = np.ascontiguousarray(sliding_window_view(rows, width, axis=1)).mean(-1)
    for i in (*range(min(window, count)), *range(max(inner.stop, min(window, count)), count)):
        result[:, i] = rows[:, max(0, i - window) : i + window + 1].mean(-1)
    return result


def scale(curve: Curve) -> Curve:
    """Scale a curve to 0..1 by its minimum and maximum; all 0 if every value is the same."""
    low, high = curve.min(), curve.max()
    return (curve - low) / (high - low) if high > low else np.zeros_like(curve)


def check_threshold(threshold: float) -> None:
    """Refuse a threshold of scaled scores outside [0, 1].

    Raises:
        DuetError: The threshold is out of range.
    """
    if not 0 <= threshold <= 1:
        raise DuetError(f"threshold={threshold}: must be from 0 to 1, as the scaled scores are.")
