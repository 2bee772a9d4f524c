"""StreamSource: frames of a video that is still being recorded.

PyAV reads it, since decord reads complete files only: a growing file, a webcam, an RTSP or HTTP address, or whatever
else FFmpeg opens.
"""

import itertools
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from pathlib import Path
from threading import Condition, Thread
from time import monotonic
from typing import Any

import numpy as np
import torch

from mmduet.errors import VideoError
from mmduet.system import threads
from mmduet.video import TOLERANCE, FrameBatch, FrameSize, check_positive
from mmduet.video.container import (
    named_format,
    orientation,
    picture_stream,
    pixel_aspect,
    reads_its_end,
    reason,
    set_up,
)  # fmt: skip
from mmduet.video.decoders import picture
from mmduet.video.fitting import Fitter, longest_side
from mmduet.video.table import frame_rate, is_closed, is_untimed, lacks_times
from mmduet.video.timeline import RESTART, Timeline, seconds

STALL = 20.0  # s beyond twice the patience after which a silent reading thread is abandoned
LEAVE = 0.5  # s that the reading thread may take to end; after that it ends by itself


class StreamSource:
    """An iterable over FrameBatches of a video that is still being recorded.

    Frame k is the first whose time is >= k / fps, counted from the first frame's time. Frames are resized as by
    `iter_frames`. A thread reads them. A batch holds all pending frames, and its times have no gap. Only one iteration
    at a time is possible. Frames of a network camera without time stamps (MJPEG over HTTP) are timed by their arrival.

    Args:
        address: A file, a device (``/dev/video0`` with format ``v4l2``) or the address of a stream.
        fps: Frames per second of the sample.
        size: As for `iter_frames`.
        waiting: Maximum pending frames.
        drop_late: Drop the oldest pending frame when `waiting` frames are pending, as a camera needs. False: the thread
            waits.
        patience: The stream counts as ended after this time without an answer or a new frame, s.
        format: FFmpeg's name of the format.
        options: FFmpeg's options, such as ``{"rtsp_transport": "tcp"}``.

    Attributes:
        dropped: The number of dropped frames.
        restarts: How often the times went back, as after a camera's reboot or in a joined file. The frames then follow
            the earlier ones.

    Raises:
        VideoError: While iterating: the address cannot be opened, sends nothing, or has no frame that can be decoded.
    """

    def __init__(
        self,
        address: str | Path,
        *,
        fps: float,
        size: FrameSize,
        waiting: int = 64,
        drop_late: bool = False,
        patience: float = 10.0,
        format: str | None = None,
        options: Mapping[str, str] | None = None,
    ):
        check_positive(fps=fps, size=longest_side(size), waiting=waiting, patience=patience)
        self.address, self.fps, self.size = str(address), fps, size
        self.waiting, self.drop_late, self.patience = waiting, drop_late, patience
        self.format, self.options = format, dict(options or {})
        self.dropped = self.restarts = 0

    def __iter__(self) -> Iterator[FrameBatch]:
        self._frames: deque[tuple[int, torch.Tensor]] = deque()
        self._changed, self._over = Condition(), False
        self._error: VideoError | None = None
        self._heard = monotonic()  # when the reading thread received its last packet
        self.dropped = self.restarts = 0
        thread = threads.start(Thread(target=self._read, daemon=True), self._end)
        try:
            while frames := self._take():
                yield from self._batches(frames)
        finally:
            self._end()
            thread.join(LEAVE)
        if self._error is not None:
            raise self._error

    def _take(self) -> list[tuple[int, torch.Tensor]]:
        """All pending frames: at least one, unless the stream has ended."""
        with self._changed:
            self._heard = max(self._heard, monotonic())
            while not self._changed.wait_for(lambda: self._frames or self._over, timeout=self.patience):
                if monotonic() - self._heard > 2 * self.patience + STALL:
                    self._over = True
                    self._error = VideoError(
                        f"{self.address} cannot be read: it sent nothing for {monotonic() - self._heard:.0f} s; check "
                        "that a video is sent there."
                    )
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
        import av  # slow to import, so only where a stream is read

        av.logging.set_level(None)
        try:
            with self._open() as container:
                stream, fitter = picture_stream(container), Fitter(self.size)
                for tick, frame in self._sampled(container, stream):
                    upright = orientation(frame)
                    shown = torch.from_numpy(picture(frame, upright)).permute(2, 0, 1)[None]
                    aspect = pixel_aspect(stream) ** (-1 if upright.turns % 2 else 1)
                    if not self._offer(tick, fitter.fit(shown, pixel_aspect=aspect)[0]):
                        return
        except VideoError as error:
            self._error = VideoError(f"{self.address} cannot be read: it has {error}.")
        except av.ExitError:
            self._error = VideoError(
                f"{self.address} cannot be read: no video came for {self.patience:g} s; check that one is sent there."
            )
        except (av.FFmpegError, OSError, ValueError, MemoryError, IndexError) as error:
            self._error = VideoError(
                f"{self.address} cannot be read: {reason(error)}; check the address, or give its format."
            )
        finally:
            self._end()

    def _open(self) -> Any:
        import av

        address, format, options = self.address, self.format, self.options
        if Path(address).is_file():
            path = Path(address).absolute()  # so that no part of the name is a protocol
            # wait for more at its end; read an mp4's fragments as they come
            growing = {"follow": "1", "fflags": "+ignidx"} | ({"seekable": "0"} if reads_its_end(path) else {})
            address, format, options = str(path), format or named_format(path), growing | options
        return av.open(address, format=format, options=options, timeout=self.patience, metadata_errors="replace")

    def _sampled(self, container: Any, stream: Any) -> Iterator[tuple[int, Any]]:
        """(k, source frame) of each frame of the sample."""
        rate = frame_rate(stream)
        timeline, tick = Timeline(float(rate) if rate else None), 0
        for stamp, frame in self._decoded(container, stream):
            time = timeline.place(stamp)
            if timeline.restarts > self.restarts:
                self.restarts = timeline.restarts
                logging.getLogger(__name__).warning("%s restarts after %.1f s", self.address, time)
            while time >= tick / self.fps - TOLERANCE:
                yield tick, frame
                tick += 1

    def _decoded(self, container: Any, stream: Any) -> Iterator[tuple[float, Any]]:
        """(time stamp, s, source frame), until nothing came for `patience`."""
        stamps, timed_here = (_Stamps() if is_untimed(container) else None), self._is_timed_here(container)
        count, rate = 0, float(frame_rate(stream) or 25)
        for packet in self._packets(container, stream, threads=not timed_here):
            self._heard = monotonic()
            if stamps is not None and packet is not None:
                stamps.add(packet)
            for frame in self._frames_of(stream, packet, count):
                if stamps is not None and not count:
                    stamps.begin(frame.pts)
                time = seconds(frame.pts if stamps is None else stamps.next(), stream.time_base)
                if timed_here:
                    time = monotonic()
                yield count / rate if time is None else time, frame
                count += 1
        if not count:
            raise VideoError(
                "no frame that can be decoded (none came, or no key frame): check that a whole video is sent there"
            )

    def _is_timed_here(self, container: Any) -> bool:
        """Whether a frame's time is that of its arrival: a camera on the network whose format has no time stamps.

        A pipe or a download has no clock. There the frames come at the stated rate, or at the one that FFmpeg assumes.
        """
        if not lacks_times(container) or container.size > 0:
            return False
        if "://" not in self.address:
            logging.getLogger(__name__).warning(
                "%s has no time stamps, so a frame rate is assumed: send it as mpegts or matroska", self.address
            )
        return "://" in self.address

    def _packets(self, container: Any, stream: Any, *, threads: bool) -> Iterator[Any]:
        """Packets, and None at the end. The first says whether frames with errors are refused."""
        import av

        try:
            for n, packet in enumerate(container.demux(stream)):
                if n == 0:
                    set_up(stream, strict=Path(self.address).is_file() and is_closed(packet), threads=threads)
                if packet.size:
                    yield packet
        except av.ExitError:
            pass
        yield None  # makes the decoder give the frames that it still holds

    def _frames_of(self, stream: Any, packet: Any, count: int) -> list[Any]:
        import av

        try:
            return list(stream.codec_context.decode(packet))
        except av.FFmpegError:
            if count or stream.codec_context.options.get("err_detect"):
                raise
            return []  # a stream may be entered between two key frames

    def _offer(self, tick: int, frame: torch.Tensor) -> bool:
        """Add a pending frame; whether the iteration still takes frames."""
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


class _Stamps:
    """The packets' time stamps where a format stores them in decoding order: each shown frame takes the earliest."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []
        self._part, self._last = 0, 0

    def add(self, packet: Any) -> None:
        if packet.dts is not None:
            self._part += (packet.dts - self._last) * packet.time_base < -RESTART
            self._last = packet.dts
        if packet.pts is not None and not packet.is_discard:
            heappush(self._heap, (self._part, packet.pts))

    def begin(self, first: int | None) -> None:
        """Forget the stamps before the first shown frame: such packets lack the frames that they are predicted from."""
        if first is not None:
            self._heap = sorted(stamp for stamp in self._heap if stamp >= (0, first))

    def next(self) -> int | None:
        return heappop(self._heap)[1] if self._heap else None
