"""Video: metadata, and frames sampled by the source's own timestamps. decord decodes; nothing else does."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from mmduet.errors import VideoError

TOLERANCE = 1e-3  # s: decord's timestamps are float32
Rounding = Literal["floor", "ceil"]


@dataclass(frozen=True, slots=True)
class VideoMetadata:
    """A clip. duration: s, to the last frame's end. fps: mean source rate. width, height: pixels."""

    path: Path
    duration: float
    fps: float
    frame_count: int
    width: int
    height: int


@dataclass(slots=True)
class FrameBatch:
    """times: float64 [n], s, nominal: frame k of a sample is at k / fps. frames: uint8 [n, 3, S, S], RGB."""

    times: np.ndarray
    frames: torch.Tensor


def read_metadata(path: str | Path) -> VideoMetadata:
    """What a clip is. Raises VideoError when it is missing, no video, or has no frame that can be decoded."""
    reader = _open(path)
    return _metadata(path, reader, _timestamps(path, reader))


def sample_indices(
    starts: np.ndarray, fps: float, *, duration: float, max_frames: int | None = None, rounding: Rounding = "floor"
) -> np.ndarray:
    """Source frames of a sample: frame k is the first whose time is >= k / fps.

    starts: float64 [M], each source frame's time, s, ascending from 0. At most floor(duration * fps) frames (or
    ceil), never fewer than 1, never more than `max_frames`; past the last source frame nothing is made up.
    Returns int64 [n].
    """
    _check_positive(fps=fps)
    wanted = duration * fps
    count = max(1, math.floor(wanted + TOLERANCE) if rounding == "floor" else math.ceil(wanted - TOLERANCE))
    if max_frames is not None:
        _check_positive(max_frames=max_frames)
        count = min(count, max_frames)
    indices = np.searchsorted(starts, np.arange(count) / fps - TOLERANCE)
    return indices[indices < len(starts)]


def iter_frames(
    path: str | Path,
    *,
    fps: float,
    size: int,
    max_frames: int | None = None,
    rounding: Rounding = "floor",
    batch_size: int = 32,
) -> Iterator[FrameBatch]:
    """Sampled frames, `batch_size` at a time, so that only so many are in memory at source resolution.

    Each is resized to fit size x size, centred, padded with black (`fit_frames`).
    Raises VideoError as `read_metadata` does, and when frames in the middle cannot be decoded.
    """
    _check_positive(fps=fps, size=size, batch_size=batch_size)
    reader = _open(path)
    spans = _timestamps(path, reader)
    indices = sample_indices(spans[:, 0], fps, duration=spans[-1, 1], max_frames=max_frames, rounding=rounding)
    for first in range(0, len(indices), batch_size):
        chunk = indices[first : first + batch_size]
        frames = torch.from_numpy(_decode(path, reader, chunk)).permute(0, 3, 1, 2)
        yield FrameBatch((first + np.arange(len(chunk))) / fps, fit_frames(frames, size))


def read_frames(
    path: str | Path, *, fps: float, size: int, max_frames: int | None = None, rounding: Rounding = "floor"
) -> FrameBatch:
    """All of `iter_frames` in one."""
    batches = list(iter_frames(path, fps=fps, size=size, max_frames=max_frames, rounding=rounding))
    return FrameBatch(
        np.concatenate([batch.times for batch in batches]), torch.cat([batch.frames for batch in batches])
    )


def fit_frames(frames: torch.Tensor, size: int) -> torch.Tensor:
    """uint8 [n, 3, H, W] -> uint8 [n, 3, size, size]: bilinear, aspect kept, centred, padded with black."""
    height, width = frames.shape[-2:]
    scale = size / max(height, width)
    inner = (max(1, round(height * scale)), max(1, round(width * scale)))
    if inner != (height, width):
        resized = F.interpolate(frames.float(), inner, mode="bilinear", align_corners=False, antialias=True)
        frames = resized.round_().clamp_(0, 255).byte()
    top, left = (size - inner[0]) // 2, (size - inner[1]) // 2
    return F.pad(frames, (left, size - inner[1] - left, top, size - inner[0] - top))


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise VideoError(f"{name}={value}: give a positive number.")


def _open(path: str | Path) -> Any:
    import decord  # half a second; only who reads a video pays for it

    path = Path(path)
    if not path.exists():
        raise VideoError(f"{path} does not exist: check the path to the clip.")
    if path.is_dir():
        raise VideoError(f"{path} is a folder: give the video file in it.")
    try:
        return decord.VideoReader(str(path), ctx=decord.cpu(0))
    except (decord.DECORDError, RuntimeError) as error:
        raise VideoError(
            f"{path} ({path.stat().st_size} bytes) is no video that decord can open, or is cut off: give an mp4, mkv "
            f"or webm with a picture track ({_reason(error)})."
        ) from error


def _timestamps(path: str | Path, reader: Any) -> np.ndarray:
    """float64 [M, 2]: start and end of each source frame, s, from the first frame's start."""
    if len(reader) == 0:
        raise VideoError(f"{path} has no frames: give a clip with a picture track.")
    spans = reader.get_frame_timestamp(range(len(reader))).astype(np.float64)
    return spans - spans[0, 0]


def _metadata(path: str | Path, reader: Any, spans: np.ndarray) -> VideoMetadata:
    height, width = _decode(path, reader, np.array([0])).shape[1:3]
    duration = float(spans[-1, 1])
    return VideoMetadata(Path(path), duration, len(spans) / duration, len(spans), width, height)


def _decode(path: str | Path, reader: Any, indices: np.ndarray) -> np.ndarray:
    """uint8 [n, H, W, 3]."""
    import decord

    try:
        return reader.get_batch(indices).asnumpy()
    except (decord.DECORDError, RuntimeError) as error:
        raise VideoError(
            f"{path} cannot be decoded at frames {indices[0]} to {indices[-1]}: it is cut off or damaged; get the file "
            f"anew, or re-encode what is left of it ({_reason(error)})."
        ) from error


def _reason(error: Exception) -> str:
    """The last line of decord's message that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "Stack trace" not in line]
    return (lines[0] if lines else type(error).__name__)[:160]
