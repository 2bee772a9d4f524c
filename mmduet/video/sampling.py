"""Sampling: which source frames a sample at a fixed rate takes."""

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mmduet.errors import VideoError

TOLERANCE = 1e-3  # s: containers round times to milliseconds
MOST = 20_000_000  # frames of a sample: a week at 30 a second
Rounding = Literal["floor", "ceil", "held"]


def sample_indices(
    starts: NDArray[np.float64],
    fps: float,
    *,
    duration: float,
    max_frames: int | None = None,
    rounding: Rounding = "floor",
) -> NDArray[np.int64]:
    """Choose the source frames of a sample: frame k is the first whose time is >= k / fps.

    Args:
        starts: [M], the time of each source frame, s, ascending from 0.
        fps: Frames per second of the sample.
        duration: Of the video, s.
        max_frames: Maximum frames; None for no limit.
        rounding: How duration * fps becomes the number of frames, which is at least 1. ``held`` is ``ceil``, with the
            last source frame held, as a player does, where the sample would have fewer frames than with ``floor``.

    Returns:
        [n], indices of source frames. The sample ends with the last source frame, unless that is held.

    Raises:
        VideoError: fps or max_frames is not positive, the rounding is not known, or the sample would have more than
            `MOST` frames.
    """
    check_positive(fps=fps)
    if rounding not in get_args(Rounding):
        raise VideoError(f"rounding={rounding!r} is not known: use {' or '.join(get_args(Rounding))}.")
    wanted = duration * fps
    count = max(1, math.floor(wanted + TOLERANCE) if rounding == "floor" else math.ceil(wanted - TOLERANCE))
    if max_frames is not None:
        check_positive(max_frames=max_frames)
        count = min(count, max_frames)
    if count > MOST:
        raise VideoError(
            f"fps={fps:g} gives {count:.3g} frames of {duration:g} s, and a sample has at most {MOST:,}: lower it."
        )
    indices = np.searchsorted(starts, np.arange(count) / fps - TOLERANCE)
    shown = indices < len(starts)
    if rounding == "held":
        shown[: math.floor(wanted + TOLERANCE)] = True
    return np.minimum(indices, len(starts) - 1)[shown]


def check_positive(**values: float) -> None:
    """Raise VideoError for the first value that is not a positive number."""
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise VideoError(f"{name}={value}: give a positive number.")
