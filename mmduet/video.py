"""Video: metadata, and frames sampled by the source's own timestamps. decord decodes; nothing else does."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from mmduet.errors import VideoError
from mmduet.prefetch import prefetch
from mmduet.stages import stage

TOLERANCE = 1e-3  # s: decord's timestamps are float32
DECODE_AT_ONCE = 8  # frames at source resolution; with 32 the memory alone makes decord half as fast
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # what mkv and webm open with
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
    check_positive(fps=fps)
    wanted = duration * fps
    count = max(1, math.floor(wanted + TOLERANCE) if rounding == "floor" else math.ceil(wanted - TOLERANCE))
    if max_frames is not None:
        check_positive(max_frames=max_frames)
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
    ahead: int = 0,
) -> Iterator[FrameBatch]:
    """Sampled frames, `batch_size` at a time; only a few at once are in memory at source resolution.

    Each is resized to fit size x size, centred, padded with black (`fit_frames`). ahead: batches that a thread makes
    before they are asked for, which pays where a GPU does the rest; 0: each is made when it is asked for.
    Raises VideoError as `read_metadata` does, and when frames in the middle cannot be decoded.
    """
    check_positive(fps=fps, size=size, batch_size=batch_size)
    if ahead < 0:
        raise VideoError(f"ahead={ahead}: give a number of batches, or 0 for none.")
    batches = _batches(path, fps, size, max_frames, rounding, batch_size)
    return prefetch(batches, ahead) if ahead else batches


def _batches(
    path: str | Path, fps: float, size: int, max_frames: int | None, rounding: Rounding, batch_size: int
) -> Iterator[FrameBatch]:
    with stage("decode"):
        reader = _open(path)
        spans = _timestamps(path, reader)
    indices = sample_indices(spans[:, 0], fps, duration=spans[-1, 1], max_frames=max_frames, rounding=rounding)
    for first in range(0, len(indices), batch_size):
        chunk = indices[first : first + batch_size]
        parts = [chunk[at : at + DECODE_AT_ONCE] for at in range(0, len(chunk), DECODE_AT_ONCE)]
        frames = torch.cat([_fitted(path, reader, part, size) for part in parts])
        yield FrameBatch((first + np.arange(len(chunk))) / fps, frames)


def _fitted(path: str | Path, reader: Any, indices: np.ndarray, size: int) -> torch.Tensor:
    with stage("decode"):
        frames = _decode(path, reader, indices).permute(0, 3, 1, 2)
    with stage("resize"):
        return fit_frames(frames, size)


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
        frames = _resize(frames, inner)
    top, left = (size - inner[0]) // 2, (size - inner[1]) // 2
    return F.pad(frames, (left, size - inner[1] - left, top, size - inner[0] - top))


def _resize(frames: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    resize = partial(F.interpolate, size=size, mode="bilinear", align_corners=False, antialias=True)
    if frames.device.type == "cpu":  # in whole numbers, at a twentieth of the time; at most 1 of 255 off the other way
        return resize(frames.contiguous(memory_format=torch.channels_last)).contiguous()
    return resize(frames.float()).round_().clamp_(0, 255).byte()


def check_positive(**values: float) -> None:
    """Raises VideoError for the first value that is not a positive number."""
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
    _check_whole(path)
    decord.logging.set_level(decord.logging.QUIET)  # what it would print is in the errors raised here
    try:
        return decord.VideoReader(str(path), ctx=decord.cpu(0))
    except (decord.DECORDError, RuntimeError) as error:
        raise VideoError(f"{path} ({path.stat().st_size} bytes) {_fault(error)}") from error


def _fault(error: Exception) -> str:
    """What keeps a file from being opened, from decord's message."""
    reason = _reason(error)
    if "cannot find video stream" in reason:
        return "has no picture track (sound alone, or cut off at its very start): give a whole clip with pictures."
    if "av_read_frame failed" in reason:
        return "is cut off or damaged: get the file anew, or re-encode what is left of it."
    return f"is no video that decord can open, or is cut off: give a whole mp4, mkv or webm ({reason})."


def _check_whole(path: Path) -> None:
    """Raises VideoError for an mkv or webm shorter than it says: decord would just end early."""
    with path.open("rb") as file:
        stated, size = _stated_size(file.read(4096)), path.stat().st_size
    if stated is not None and stated > size:
        raise VideoError(f"{path} is cut off: it has {size} of {stated} bytes; get the file anew, or re-encode it.")


def _stated_size(head: bytes) -> int | None:
    """Bytes a Matroska file says it has; None for other formats, and for recordings that leave it open."""
    if not head.startswith(EBML):
        return None
    at = len(EBML)
    length, width = _ebml_number(head[at:])
    at += width + (length or 0)
    if not head.startswith(SEGMENT, at):
        return None
    at += len(SEGMENT)
    length, width = _ebml_number(head[at:])
    return None if length is None else at + width + length


def _ebml_number(data: bytes) -> tuple[int | None, int]:
    """(value, bytes it takes) of Matroska's number: as many leading zero bits as bytes follow. All ones: unknown."""
    width = 9 - data[0].bit_length() if data and data[0] else 1
    value = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    known = len(data) >= width and data[0] != 0 and value != (1 << 7 * width) - 1
    return (value if known else None), width


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


def _decode(path: str | Path, reader: Any, indices: np.ndarray) -> torch.Tensor:
    """uint8 [n, H, W, 3], where decord put them."""
    import decord

    try:
        return torch.from_dlpack(reader.get_batch(indices).to_dlpack())
    except (decord.DECORDError, RuntimeError) as error:
        raise VideoError(
            f"{path} cannot be decoded at frames {indices[0]} to {indices[-1]}: it is cut off or damaged; get the file "
            f"anew, or re-encode what is left of it ({_reason(error)})."
        ) from error


def _reason(error: Exception) -> str:
    """The first line of decord's message, without its clock times, source files and stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "Stack trace" not in line]
    reason = re.sub(r"\[\d\d:\d\d:\d\d\] \S+:\d+: ", "", lines[0] if lines else "")
    return reason[:160] or type(error).__name__
