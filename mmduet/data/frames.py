"""Frames of a video for training, as many as its duration states."""

import math
from collections.abc import Iterator
from pathlib import Path

import torch

from mmduet.video import TOLERANCE, FrameSize, iter_frames
from mmduet.video.table import read_table


def training_frames(
    video: Path, *, fps: float, size: FrameSize, max_frames: int | None = None, batch_size: int = 32
) -> Iterator[torch.Tensor]:
    """Sample frames for training: at least floor(duration * fps), which a conversation may ask for.

    A sample ends with the last source frame (`sample_indices`), which may be shown for longer than 1 / fps: in a video
    of a lower frame rate, or one that ends with a still. Here it is held until the video ends, as a player holds it.

    Args:
        video: The video file.
        fps: Frames per second of the sample.
        size: As for `iter_frames`.
        max_frames: Maximum frames of the sample; None for no limit.
        batch_size: Frames in a batch.

    Yields:
        uint8 [n, 3, H, W].

    Raises:
        VideoError: As for `iter_frames`.
    """
    done, last = 0, None
    for batch in iter_frames(video, fps=fps, size=size, max_frames=max_frames, rounding="ceil", batch_size=batch_size):
        done, last = done + len(batch.frames), batch.frames[-1:]
        yield batch.frames
    if last is None or done == max_frames:
        return
    wanted = math.floor(read_table(video).duration * fps + TOLERANCE)
    wanted = wanted if max_frames is None else min(wanted, max_frames)
    for first in range(done, wanted, batch_size):
        yield last.expand(min(batch_size, wanted - first), -1, -1, -1)
