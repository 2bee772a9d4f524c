"""Smoothing of score curves, many at once.

A mean over frames on both sides is not causal: it looks at frames that a live model has not seen yet.
"""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mmduet.errors import DuetError


def smooth(curves: Sequence[np.ndarray], window: int) -> list[np.ndarray]:
    """Each value becomes the mean over the `window` before it, itself, and the `window` after it, cut at the ends.

    curves: float64 [n] each, of any lengths; window >= 0. Every mean is numpy's over its slice, to the last bit, so
    that scores which tie in the published evaluation tie here.
    Raises DuetError for another window.
    """
    if window < 0:
        raise DuetError(f"window={window}: must be at least 0 frames on each side.")
    by_length: dict[int, list[int]] = {}
    for index, curve in enumerate(curves):
        by_length.setdefault(len(curve), []).append(index)
    smoothed: list[np.ndarray] = [np.empty(0)] * len(curves)
    for indices in by_length.values():
        rows = _smooth_equally_long(np.stack([curves[i] for i in indices]).astype(float), window)
        for index, row in zip(indices, rows, strict=True):
            smoothed[index] = row
    return smoothed


def _smooth_equally_long(rows: np.ndarray, window: int) -> np.ndarray:
    """[m, n] -> [m, n]."""
    count, width = rows.shape[1], 2 * window + 1
    result = np.empty_like(rows)
    inner = range(window, max(window, count - window))
    if inner:
        # a copy: numpy adds in another order where windows overlap in memory
        result[:, inner.start : inner.stop] = np.ascontiguousarray(sliding_window_view(rows, width, axis=1)).mean(-1)
    for i in (*range(min(window, count)), *range(max(inner.stop, min(window, count)), count)):
        result[:, i] = rows[:, max(0, i - window) : i + window + 1].mean(-1)
    return result


def check_threshold(threshold: float) -> None:
    """Refuse a threshold of scaled scores that is not in [0, 1]. Raises DuetError."""
    if not 0 <= threshold <= 1:
        raise DuetError(f"threshold={threshold}: must be from 0 to 1, as the scaled scores are.")
