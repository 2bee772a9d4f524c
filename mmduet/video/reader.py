"""Readers: a file's metadata, and its frames sampled at a fixed rate."""

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mmduet.errors import VideoError
from mmduet.system.stages import stage
from mmduet.video.batch import FrameBatch
from mmduet.video.decoders import Decoder, open_decoder
from mmduet.video.fitting import Fitter, FrameSize, longest_side
from mmduet.video.prefetch import prefetch
from mmduet.video.sampling import Rounding, check_positive, sample_indices
from mmduet.video.table import FrameTable, read_table

DECODE_AT_ONCE = 8  # frames at source resolution; 32 would take so much memory that decord is half as fast


@dataclass(frozen=True, slots=True)
class VideoMetadata:
    """A clip.

    Attributes:
        path: The file.
        duration: To the end of the last shown frame, s.
        fps: Mean source rate, frames per second.
        frame_count: Shown frames.
        width: Pixels, as displayed.
        height: Pixels, as displayed.
        decoder: The library that decodes its frames.
    """

    path: Path
    duration: float
    fps: float
    frame_count: int
    width: int
    height: int
    decoder: str = ""


def read_metadata(path: str | Path) -> VideoMetadata:
    """Read a clip's metadata.

    Raises:
        VideoError: The file is missing, cut off, not a video, or has no frame that can be decoded.
    """
    table = read_table(Path(path))
    if table.fault is not None:
        raise table.fault
    with closing(open_decoder(table)) as decoder:
        count = len(table.times)
        return VideoMetadata(
            Path(path), table.duration, count / table.duration, count, table.width, table.height, decoder.name
        )


def iter_frames(
    path: str | Path,
    *,
    fps: float,
    size: FrameSize,
    max_frames: int | None = None,
    rounding: Rounding = "floor",
    batch_size: int = 32,
    ahead: int = 0,
    pin: bool = False,
) -> Iterator[FrameBatch]:
    """Sample frames at a fixed rate. Only a few frames at a time are in memory at source resolution.

    Args:
        path: The video file.
        fps: Frames per second of the sample: frame k is the first whose time is >= k / fps.
        size: Each frame is resized into size x size pixels, centred, padded with black; or, with `CenterCrop`,
            its middle square is; or, with `Within`, it is shrunk.
        max_frames: Maximum frames of the sample; None for no limit.
        rounding: How duration * fps becomes the number of frames.
        batch_size: Frames in a batch.
        ahead: Batches that a thread prepares in advance, which helps where a GPU does the rest; 0 for none.
        pin: Put frames into memory from which CUDA copies while it computes.

    Raises:
        VideoError: As for `read_metadata`, or a frame of the sample cannot be decoded. Of a file that is damaged or cut
            off, the frames before the fault come first.
    """
    check_positive(fps=fps, size=longest_side(size), batch_size=batch_size)
    if ahead < 0:
        raise VideoError(f"ahead={ahead}: give a number of batches, or 0.")
    batches = _batches(path, fps, size, max_frames, rounding, batch_size)
    if pin:
        batches = (FrameBatch(batch.times, batch.frames.pin_memory()) for batch in batches)
    return prefetch(batches, ahead) if ahead else batches


def _batches(
    path: str | Path, fps: float, size: FrameSize, max_frames: int | None, rounding: Rounding, batch_size: int
) -> Iterator[FrameBatch]:
    with stage("decode"):
        table = read_table(Path(path))
        decoder = open_decoder(table)
    indices = sample_indices(table.times, fps, duration=table.duration, max_frames=max_frames, rounding=rounding)
    fitter = Fitter(size)
    with closing(decoder):
        for first in range(0, len(indices), batch_size):
            chunk = indices[first : first + batch_size]
            parts, fault = _decoded(table, decoder, chunk, fitter)
            if parts:
                frames = torch.cat(parts)
                yield FrameBatch((first + np.arange(len(frames))) / fps, frames)
            if fault is not None:
                raise fault
    if table.fault is not None and len(indices) != max_frames:
        raise table.fault


def _decoded(
    table: FrameTable, decoder: Decoder, indices: NDArray[np.int64], fitter: Fitter
) -> tuple[list[torch.Tensor], VideoError | None]:
    """Frames up to the first that cannot be decoded, uint8 [n_i, 3, H, W], and its error."""
    parts, done = list[torch.Tensor](), 0
    while done < len(indices):
        try:
            parts.append(_fitted(table, decoder, indices[done : done + DECODE_AT_ONCE], fitter))
        except VideoError as error:
            return parts, error
        done += len(parts[-1])
    return parts, None


def _fitted(table: FrameTable, decoder: Decoder, indices: NDArray[np.int64], fitter: Fitter) -> torch.Tensor:
    """uint8 [n, 3, H, W], as `Decoder.read`. A frame that several indices name is decoded and resized once."""
    unique, places = np.unique(indices, return_inverse=True)
    with stage("decode"):
        groups = decoder.read(unique)
    with stage("resize"):
        frames = torch.cat([fitter.fit(group, pixel_aspect=table.pixel_aspect) for group in groups])
        return frames if len(frames) == len(indices) else frames[torch.from_numpy(places[places < len(frames)])]


def read_frames(
    path: str | Path, *, fps: float, size: FrameSize, max_frames: int | None = None, rounding: Rounding = "floor"
) -> FrameBatch:
    """Sample all frames at once, as `iter_frames` does in batches."""
    batches = list(iter_frames(path, fps=fps, size=size, max_frames=max_frames, rounding=rounding))
    return FrameBatch(
        np.concatenate([batch.times for batch in batches]), torch.cat([batch.frames for batch in batches])
    )


def read_frames_of(path: str | Path, times: NDArray[np.float64], *, size: FrameSize = 96) -> torch.Tensor | None:
    """Read the frames that the scores of a trace or a prediction belong to, for a film strip.

    Args:
        path: The clip.
        times: The times of the trace, evenly spaced from 0, s, [N].
        size: As for `iter_frames`.

    Returns:
        uint8 [N, 3, H, W], one frame a time; None if there are no times, no file, or another number of frames.
    """
    if not len(times) or not Path(path).is_file():
        return None
    fps, found = 1 / (times[1] - times[0]) if len(times) > 1 else 1.0, []
    with suppress(VideoError):  # a trace may end where the clip is damaged
        for batch in iter_frames(path, fps=fps, size=size, max_frames=len(times), rounding="ceil"):
            found.append(batch.frames)
    return torch.cat(found) if sum(map(len, found)) == len(times) else None
