"""Decoders of a file's shown frames: decord where it agrees with the frame table, else PyAV."""

from collections.abc import Generator
from itertools import groupby
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from mmduet.errors import VideoError
from mmduet.video.container import ADVICE, Orientation, open_video, reason, set_up
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
            uint8 [n_i, 3, H, W] tensors. Consecutive frames of one size are in one tensor. They end before the first
            frame that cannot be decoded.

        Raises:
            VideoError: The first of the frames cannot be decoded.
        """

    def close(self) -> None:
        """Close the file."""


def open_decoder(table: FrameTable) -> Decoder:
    """Open a file with decord where that is installed and agrees with the table, else with PyAV."""
    reader = _decord_reader(table) if table.simple else None
    return PyAVDecoder(table) if reader is None else DecordDecoder(table, reader)


class DecordDecoder:
    """The decoder of decord, which seeks: fast for sparse samples. After an error of it, PyAV decodes instead."""

    name = "decord"

    def __init__(self, table: FrameTable, reader: Any):
        self.table, self.reader = table, reader
        self._instead: PyAVDecoder | None = None

    def read(self, indices: NDArray[np.int64]) -> list[torch.Tensor]:
        """Decode frames of the table, as `Decoder.read`."""
        import decord

        if self._instead is None:
            try:
                return [torch.from_dlpack(self.reader.get_batch(indices).to_dlpack()).permute(0, 3, 1, 2)]
            except (decord.DECORDError, RuntimeError):  # which do not say at which frame
                self._instead = PyAVDecoder(self.table)
        return self._instead.read(indices)

    def close(self) -> None:
        """Close the file."""
        self.reader = None
        if self._instead is not None:
            self._instead.close()


class PyAVDecoder:
    """The decoder of PyAV, which decodes from the start to the last requested frame, each frame once."""

    name = "PyAV"

    def __init__(self, table: FrameTable):
        self.table = table
        self._frames = self._decoded()
        self._index = -1  # of the frame decoded last
        self._frame: Any = None
        self._picture: NDArray[np.uint8] | None = None  # of that frame, once it is requested
        self._fault: VideoError | None = None  # after which nothing is decoded

    def read(self, indices: NDArray[np.int64]) -> list[torch.Tensor]:
        """Decode frames of the table, as `Decoder.read`."""
        pictures = list[NDArray[np.uint8]]()
        try:
            for index in indices.tolist():
                pictures.append(self._read(index))
        except VideoError as error:
            self._fault = self._fault or error
            if not pictures:
                raise _undecodable(self.table, index, self._fault) from self._fault
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
            self._picture = picture(self._frame, self.table.orientation)
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


def picture(frame: Any, upright: Orientation) -> NDArray[np.uint8]:
    """Convert a PyAV frame to RGB.

    Args:
        frame: PyAV's frame.
        upright: How it is put upright.

    Returns:
        uint8 [H, W, 3].
    """
    stored = frame.to_ndarray(format="rgb24", interpolation="BICUBIC")
    return np.ascontiguousarray(np.rot90(np.fliplr(stored) if upright.mirrored else stored, upright.turns))


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


def _undecodable(table: FrameTable, index: int, fault: VideoError) -> VideoError:
    return VideoError(
        f"{table.path} cannot be decoded at {table.times[index]:.1f} s, frame {index}: it is cut off or damaged; "
        f"{ADVICE} ({reason(fault.__cause__ or fault)})."
    )
