"""FrameBatch: sampled frames with their times, and the place of batches in a video."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mmduet.errors import VideoError

EARLY = 1  # frame that a batch may begin before the end of the one before: the times of live frames jitter


@dataclass(slots=True)
class FrameBatch:
    """Sampled frames.

    Attributes:
        times: [n], s. They are nominal: frame k of a sample is at k / fps.
        frames: uint8 [n, 3, H, W], RGB.
    """

    times: NDArray[np.float64]
    frames: torch.Tensor


Frames = torch.Tensor | FrameBatch | Iterable[torch.Tensor | FrameBatch]


def placed(frames: Frames, fps: float) -> Iterator[tuple[int, torch.Tensor]]:
    """Find the place of each batch in a video whose frame k is at k / fps.

    A batch may begin later than the one before ends: frames were lost. Batches without a frame are left out.

    Args:
        frames: uint8 [n, 3, H, W], or batches of them, with or without times.
        fps: Frames per second.

    Yields:
        The index of the batch's first frame, which is 0 where it has no times, and its frames.

    Raises:
        VideoError: A batch has no frames of this kind, or their times are not those of this rate.
    """
    end = 0  # of the batch before, by its times
    for batch in [frames] if isinstance(frames, torch.Tensor | FrameBatch) else _iterated(frames):
        first, pictures = 0, batch.frames if isinstance(batch, FrameBatch) else batch
        if not isinstance(pictures, torch.Tensor) or pictures.dtype != torch.uint8 or not _is_rgb(pictures):
            raise _no_frames(pictures)
        if isinstance(batch, FrameBatch) and len(pictures):
            first = _first(batch, fps, end)
            end = max(first, end) + len(pictures)
        if len(pictures):
            yield first, pictures


def _first(batch: FrameBatch, fps: float, end: int) -> int:
    """The index of a batch's first frame. Each of its frames is less than half a frame from its index."""
    times, count = np.asarray(batch.times, dtype=float), len(batch.frames)
    if len(times) != count:
        raise VideoError(f"frames: a batch has {len(times)} times and {count} frames: give a time for each frame.")
    if not np.abs((times - times[0]) * fps - np.arange(count)).max() <= 0.5:
        gap = (times[-1] - times[0]) / max(1, count - 1)
        instead = f", or set frame_fps={1 / gap:.4g}" if gap > 0 else ""
        raise VideoError(
            f"the frames are {gap:.4g} s apart, and the session has frame_fps={fps:g}: read them at "
            f"fps={fps:g}{instead}."
        )
    first = round(times[0] * fps)
    if first < end - EARLY:
        raise VideoError(
            f"frames: a batch begins at {times[0]:.4g} s, and the one before ends at {end / fps:.4g} s with "
            f"frame_fps={fps:g}: read them at fps={fps:g}, in order."
        )
    return first


def _is_rgb(pictures: torch.Tensor) -> bool:
    return pictures.dim() == 4 and pictures.shape[1] == 3


def _iterated(frames: Iterable[torch.Tensor | FrameBatch]) -> Iterator[torch.Tensor | FrameBatch]:
    if not isinstance(frames, Iterable):
        raise _no_frames(frames)
    yield from frames


def _no_frames(given: object) -> VideoError:
    kind = f" ({given.dtype} {list(given.shape)})" if isinstance(given, torch.Tensor | np.ndarray) else ""
    return VideoError(
        f"frames: {type(given).__name__}{kind} holds no frames: give a tensor, uint8 [n, 3, H, W], or batches of them, "
        "as read_frames and iter_frames do."
    )
