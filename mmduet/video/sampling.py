"""Sampling: which source frames a sample at a fixed rate takes."""

import math
from typing import Literal

import numpy as np

from mmduet.errors import VideoError

TOLERANCE = 1e-3  # s: containers round times to milliseconds
Rounding = Literal["floor", "ceil"]


def sample_indices(
    starts: np.ndarray, fps: float, *, duration: float, max_frames: int | None = None, rounding: Rounding = "floor"
) -> np.ndarray:
    """Source frames of a sample: frame k is the first whose time is >= k / fps.

    starts: float64 [M], each source frame's time, s, ascending from 0. At most floor(duration * fps) frames (or
    ceil), never fewer than 1, never more than `max_frames`; past the last source frame nothing is made up.
    Returns int64 [n].
    """
    check_positive(fps=fps)
    wanted = duration * fps
    count = max(1, math.floor(wanted + TOLERANCE) if rounding == "floor" else math.ceil(wanted - TOLERANCE))
    if max_frames is not None:
        check_positive(max_frames=max_frames)
        count = min(count, max_frames)
    indices = np.searchsorted(starts, np.arange(count) / fps - TOLERANCE)
    return indices[indices < len(starts)]


def check_positive(**values: float) -> None:
    """Raises VideoError for the first value that is not a positive number."""
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise VideoError(f"{name}={value}: give a positive number.")
