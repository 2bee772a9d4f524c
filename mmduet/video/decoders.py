"""Decoders of a file's shown frames: decord where it agrees with the frame table, else PyAV."""

import re
from collections.abc import Generator
from itertools import groupby
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from mmduet.errors import VideoError
from mmduet.video.container import ADVICE, open_video, reason, set_up
from mmduet.video.sampling import TOLERANCE
from mmduet.video.table import FrameTable


class Decoder(Protocol):
    """Decodes one file. `name` is that of the library."""

    name: str

    def read(self, indices: NDArray[np.int64]) -> list[torch.Tensor]:
        """Decode frames of the table, upright.

        Args:
            indices: [n], ascending, also from call to call.

        Returns:
            uint8 [n_i, 3, H, W] tensors. Consecutive frames of one size are in one tensor.

        Raises:
            VideoError: A frame cannot be decoded.
        """

    def close(self) -> None:
        """Close the file."""


def open_decoder(table: FrameTable) -> Decoder:
    """Open a file with decord where that is installed and agrees with the table, else with PyAV."""
    reader = _decord_reader(table) if table.simple else None
    return PyAVDecoder(table) if reader is None else DecordDecoder(table, reader)


class DecordDecoder:
    """The decoder of decord, which seeks: fast for sparse samples."""

    name = "decord"

    def __init__(self, table: FrameTable, reader: Any):
        self.table, self.reader = table, reader

    def read(self, indices: NDArray[np.int64]) -> list[torch.Tensor]:
        """Decode frames of the table, as `Decoder.read`."""
        import decord

        try:
            return [torch.from_dlpack(self.reader.get_batch(indices).to_dlpack()).permute(0, 3, 1, 2)]
        except (decord.DECORDError, RuntimeError) as error:
            raise _undecodable(self.table, indices, _first_line(error)) from error

    def close(self) -> None:
        """Close the file."""
        self.reader = None


class PyAVDecoder:
    """The decoder of PyAV, which decodes from the start to the last requested frame, each frame once."""

    name = "PyAV"

    def __init__(self, table: FrameTable):
        self.table = table
        self._frames = self._decoded()
        self._index = -1  # of the frame decoded last
        self._frame: Any = None
        self._picture: NDArray[np.uint8] | None = None  # of that frame, once it is requested

    def read(self, indices: NDArray[np.int64]) -> list[torch.Tensor]:
        """Decode frames of the table, as `Decoder.read`."""
        try:
            pictures = [self._read(index) for index in indices.tolist()]
        except VideoError as error:
            raise _undecodable(self.table, indices, reason(error.__cause__ or error)) from error
        groups = [np.stack(list(group)) for _, group in groupby(pictures, key=np.shape)]
        return [torch.from_numpy(group).permute(0, 3, 1, 2) for group in groups]

    def close(self) -> None:
        """Close the file."""
        self._frames.close()

    def _read(self, index: int) -> NDArray[np.uint8]:
        """uint8 [H, W, 3]."""
        while self._index < index:
            self._index, self._frame = next(self._frames, (len(self.table.times), None))
            self._picture = None
        if self._frame is None:
            raise VideoError("the frames end early")
        if self._picture is None:
            self._picture = picture(self._frame, self.table.rotation)
        return self._picture

    def _decoded(self) -> Generator[tuple[int, Any], None, None]:
        """(index in the table, frame) of each shown frame."""
        import av

        table = self.table
        places = None if table.pts is None else {stamp: n for n, stamp in enumerate(table.pts.tolist())}
        count = 0
        with open_video(table.path) as (container, stream):
            set_up(stream, strict=table.strict, threads=True)
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    if table.strict or count:
                        raise
                    continue  # frames before the first complete one may have errors
                for frame in frames:
                    place = count if places is None else places.get(frame.pts)
                    count += 1
                    if place is not None:
                        yield place, frame


def picture(frame: Any, turns: int) -> NDArray[np.uint8]:
    """Convert a PyAV frame to RGB.

    Args:
        frame: PyAV's frame.
        turns: Quarter turns, counter-clockwise.

    Returns:
        uint8 [H, W, 3].
    """
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24", interpolation="BICUBIC"), turns))


def _decord_reader(table: FrameTable) -> Any:
    """The reader of decord; None where decord is missing, or counts or times the frames in another way."""
    try:
        import decord  # half a second, so only where a video is read
    except (ImportError, OSError):
        return None
    decord.logging.set_level(decord.logging.QUIET)
    try:
        reader = decord.VideoReader(str(table.path.absolute()), ctx=decord.cpu(0))
        if len(reader) != len(table.times):
            return None
        starts = reader.get_frame_timestamp(range(len(reader)))[:, 0].astype(np.float64)
    except (decord.DECORDError, RuntimeError, AssertionError, UnicodeEncodeError):  # of a name that is not UTF-8
        return None
    return reader if np.allclose(starts - starts[0], table.times, rtol=1e-6, atol=TOLERANCE) else None


def _undecodable(table: FrameTable, indices: NDArray[np.int64], why: str) -> VideoError:
    return VideoError(
        f"{table.path} cannot be decoded at frames {indices[0]} to {indices[-1]}: it is cut off or damaged; {ADVICE} "
        f"({why})."
    )


def _first_line(error: Exception) -> str:
    """The first line of decord's message, without its clock times, source files and stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "Stack trace" not in line]
    text = re.sub(r"\[\d\d:\d\d:\d\d\] \S+:\d+: ", "", lines[0] if lines else "")
    return text[:160] or type(error).__name__
