"""StreamSource: frames of a video that is still being made, through PyAV: decord wants whole files.

A file that grows, a webcam, an RTSP or HTTP address: whatever FFmpeg opens.
"""

import itertools
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Condition, Thread
from typing import Any

import numpy as np
import torch

from mmduet.errors import VideoError
from mmduet.video import TOLERANCE, FrameBatch, check_positive, fit_frames


class StreamSource:
    """Iterates over FrameBatches: frame k is the first whose time is >= k / fps, counted from the first frame's time,
    fitted to size x size, as `iter_frames` gives them; each batch is what waits, its times without a gap.

    address: of a file, a device (``/dev/video0`` with format ``v4l2``) or a stream. A thread of its own reads, at most
    `waiting` frames ahead. drop_late: when so many wait, the oldest gives way (`dropped` counts them), as a camera
    needs; else reading waits. patience: s without an answer, or without a new frame, after which it counts as ended.
    format, options: FFmpeg's, such as ``{"rtsp_transport": "tcp"}``.

    Raises VideoError while iterating when the address cannot be opened or decoded. One iteration at a time.
    """

    def __init__(
        self,
        address: str | Path,
        *,
        fps: float,
        size: int,
        waiting: int = 64,
        drop_late: bool = False,
        patience: float = 10.0,
        format: str | None = None,
        options: Mapping[str, str] | None = None,
    ):
        check_positive(fps=fps, size=size, waiting=waiting, patience=patience)
        self.address, self.fps, self.size = str(address), fps, size
        self.waiting, self.drop_late, self.patience = waiting, drop_late, patience
        self.format, self.options = format, dict(options or {})
        self.dropped = 0

    def __iter__(self) -> Iterator[FrameBatch]:
        self._frames: deque[tuple[int, torch.Tensor]] = deque()
        self._changed, self._over = Condition(), False
        self._error: VideoError | None = None
        self.dropped = 0
        Thread(target=self._read, daemon=True).start()
        try:
            while frames := self._take():
                yield from self._batches(frames)
        finally:
            self._end()
        if self._error is not None:
            raise self._error

    def _take(self) -> list[tuple[int, torch.Tensor]]:
        """All that waits; at least one frame, unless it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._over)
            frames = list(self._frames)
            self._frames.clear()
            self._changed.notify_all()
        return frames

    def _batches(self, frames: list[tuple[int, torch.Tensor]]) -> Iterator[FrameBatch]:
        """A batch for each run of frames without a gap."""
        for _, run in itertools.groupby(enumerate(frames), key=lambda pair: pair[1][0] - pair[0]):
            ticks, pictures = zip(*(frame for _, frame in run), strict=True)
            yield FrameBatch(np.array(ticks) / self.fps, torch.stack(pictures))

    # the reading thread

    def _read(self) -> None:
        import av  # only who reads a stream pays for it

        try:
            with self._open() as container:
                for tick, frame in self._sampled(container):
                    picture = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
                    if not self._offer(tick, fit_frames(picture[None], self.size)[0]):
                        return
        except (av.FFmpegError, OSError, IndexError, VideoError) as error:
            self._error = VideoError(f"{self.address} cannot be read: {error}; check the address, or give its format.")
        finally:
            self._end()

    def _open(self) -> Any:
        import av

        options = self.options
        if Path(self.address).is_file():
            options = {"follow": "1"} | options  # at its end, wait for more
        return av.open(self.address, format=self.format, options=options, timeout=self.patience)

    def _sampled(self, container: Any) -> Iterator[tuple[int, Any]]:
        """(k, source frame) of the sample."""
        start, tick = None, 0
        for frame in self._decoded(container):
            if frame.time is None:
                raise VideoError("its frames have no times")
            start = frame.time if start is None else start
            while frame.time - start >= tick / self.fps - TOLERANCE:
                yield tick, frame
                tick += 1

    def _decoded(self, container: Any) -> Iterator[Any]:
        """Source frames, until nothing has come for as long as `patience`."""
        import av

        stream = container.streams.video[0]
        try:
            yield from container.decode(stream)
        except av.ExitError:
            yield from stream.codec_context.decode(None)  # what the decoder still held back

    def _offer(self, tick: int, frame: torch.Tensor) -> bool:
        """Let a frame wait; whether anyone still listens."""
        with self._changed:
            if self.drop_late and len(self._frames) == self.waiting:
                self._frames.popleft()
                self.dropped += 1
            self._changed.wait_for(lambda: len(self._frames) < self.waiting or self._over)
            self._frames.append((tick, frame))
            self._changed.notify_all()
            return not self._over

    def _end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
