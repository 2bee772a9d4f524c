"""FrameTable: the frames of a file that a player shows, and their times.

PyAV demuxes the file, and only the first frame is decoded. Edit lists hide frames, frames before the first key frame
cannot be decoded, and some formats store no times or restart in the middle. Where the packets do not tell which frames
are shown, all frames are decoded and counted.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmduet.errors import VideoError
from mmduet.video.container import (
    ADVICE,
    Orientation,
    check_file,
    cut_off,
    open_video,
    orientation,
    pixel_aspect,
    set_up,
)  # fmt: skip
from mmduet.video.timeline import MAX_GAP, RESTART, Timeline, seconds

# formats without a time for each frame
UNTIMED = {"avi", "mpeg", "mpegvideo", "m4v", "h263", "h264", "hevc", "obu", "vc1"}


@dataclass(frozen=True, slots=True)
class FrameTable:
    """The shown frames, in order.

    Attributes:
        path: The file.
        times: [M], s, ascending from 0.
        duration: To the end of the last frame, s.
        pts: [M], the decoder's time stamp of each frame, ascending; None where the frames had to be counted.
        width: Pixels, as displayed.
        height: Pixels, as displayed.
        orientation: How a frame is put upright.
        pixel_aspect: A pixel's width divided by its height.
        strict: Whether a frame with an error is refused.
        simple: Whether decord reads the file right.
        fault: The error of a file that is cut off, whose frames before the cut are in the table.
    """

    path: Path
    times: NDArray[np.float64]
    duration: float
    pts: NDArray[np.int64] | None
    width: int
    height: int
    orientation: Orientation
    pixel_aspect: float
    strict: bool
    simple: bool
    fault: VideoError | None


class Packets(NamedTuple):
    """The packets of a file, in decoding order.

    `pts` are presentation times, None where one is missing. `closed`: whether decoding may start at a packet.
    """

    pts: list[int | None]
    dts: list[int | None]
    durations: list[int]
    shown: list[bool]
    keys: list[bool]
    closed: list[bool]


class Start(NamedTuple):
    """The first shown frame."""

    pts: int | None
    width: int
    height: int
    orientation: Orientation
    pixel_aspect: float


def read_table(path: Path) -> FrameTable:
    """Read the frame table of a file.

    Raises:
        VideoError: The file is missing, not a video, or has no frame that can be decoded.
    """
    check_file(path)
    strict, scan = True, _scan(path, strict=True)
    if scan.start is None and scan.packets.keys and not scan.packets.closed[0]:
        strict, scan = False, _scan(path, strict=False)  # frames before the first complete one have errors
    if scan.start is None:
        raise scan.fault or VideoError(f"{path} has no frame that can be decoded: it is cut off or damaged; {ADVICE}.")
    packets, start = scan.packets, scan.start
    pts = None if scan.untimed else _shown_pts(packets, start, scan.base)
    if pts is None:
        times, last = _counted_times(path, _count(path, strict), scan), 0
    else:
        times = (pts - pts[0]).astype(np.float64) * scan.base.numerator / scan.base.denominator
        last = packets.durations[packets.pts.index(int(pts[-1]))]
    gap = _usual_gap(times, scan.rate)
    if pts is not None and last * scan.base > gap / 2:  # some containers give the last frame a millisecond
        duration = float((int(pts[-1] - pts[0]) + last) * scan.base)
    else:
        duration = float(times[-1]) + gap
    _check_gaps(path, times, duration)
    plain = scan.plain and scan.fault is None and start.orientation == (False, 0) and start.pixel_aspect == 1
    simple = plain and pts is not None and _is_simple(packets, pts)
    return FrameTable(
        path, times, duration, pts, start.width, start.height, start.orientation, start.pixel_aspect, strict, simple,
        scan.fault,
    )  # fmt: skip


# packets


class Scan(NamedTuple):
    """The result of reading all packets.

    `base` is the unit of time stamps, s. `untimed`: whether the format stores no time for each frame. `plain`: see
    `_is_plain`. `fault`: see `FrameTable`.
    """

    packets: Packets
    start: Start | None
    base: Fraction
    rate: Fraction | None
    untimed: bool
    plain: bool
    fault: VideoError | None


def _scan(path: Path, *, strict: bool) -> Scan:
    """All packets, and the first frame that is shown; None when no frame can be decoded."""
    packets, start = Packets([], [], [], [], [], []), None
    with open_video(path) as (container, stream):
        fault = cut_off(path, stream)
        set_up(stream, strict=strict, threads=False)
        failed, codec = False, stream.codec_context.name
        for packet in container.demux(stream):
            if packet.size:
                _note(packets, packet, codec)
            if start is None and not failed:
                start, failed = _first(packet, stream, strict)
        untimed, plain = is_untimed(container), _is_plain(container, stream)
        return Scan(packets, start, stream.time_base, frame_rate(stream), untimed, plain, fault)


def _first(packet: Any, stream: Any, strict: bool) -> tuple[Start | None, bool]:
    """The first frame of a packet, and whether decoding failed for good."""
    import av

    try:
        return next((_start(stream, frame) for frame in packet.decode()), None), False
    except av.FFmpegError:
        return None, strict


def _note(packets: Packets, packet: Any, codec: str) -> None:
    packets.pts.append(packet.pts)
    packets.dts.append(packet.dts)
    packets.durations.append(packet.duration or 0)
    hidden = codec.endswith("vp8") and not memoryview(packet)[0] & 0x10  # an alternative reference frame
    packets.shown.append(not packet.is_discard and not hidden)
    packets.keys.append(packet.is_keyframe)
    packets.closed.append(is_closed(packet))


def is_closed(packet: Any) -> bool:
    """Whether decoding may start at a packet."""
    return packet.is_keyframe and (packet.stream.codec_context.name != "h264" or _has_idr(packet))


def is_untimed(container: Any) -> bool:
    """Whether a format stores no time for each frame."""
    return bool(UNTIMED & set(container.format.name.split(",")))


def lacks_times(container: Any) -> bool:
    """Whether a format has no time stamps at all, so that FFmpeg assumes a frame rate."""
    from av.format import Flags

    format = container.format
    return bool(format.flags & Flags.no_timestamps.value) or format.name.endswith("_pipe")  # pictures in a row


def _has_idr(packet: Any) -> bool:
    """Whether an H.264 packet holds an IDR slice, from which decoding may start."""
    extradata, data = packet.stream.codec_context.extradata or b"", memoryview(packet)
    if extradata[:1] != b"\x01":  # start codes
        return re.search(rb"\x00\x00\x01[\x05\x25\x45\x65]", data) is not None
    width, at = (extradata[4] & 3) + 1 if len(extradata) > 4 else 4, 0
    while at + width < len(data):
        if data[at + width] & 0x1F == 5:
            return True
        at += width + int.from_bytes(data[at : at + width], "big")
    return False


def _start(stream: Any, frame: Any) -> Start:
    upright, aspect = orientation(frame), pixel_aspect(stream)
    width, height = round(frame.width * aspect), frame.height
    if upright.turns % 2:
        width, height, aspect = height, width, 1 / aspect
    return Start(frame.pts, width, height, upright, aspect)


def _shown_pts(packets: Packets, start: Start, base: Fraction) -> NDArray[np.int64] | None:
    """[M], ascending; None where the packets do not tell which frames are shown, or when."""
    pts = [stamp for stamp, shown in zip(packets.pts, packets.shown, strict=True) if shown]
    first, times = start.pts, [seconds(stamp, base) for stamp in [start.pts, *pts]]
    if first is None or None in times or len(set(pts)) < len(pts):
        return None
    dts = np.array([stamp for stamp in packets.dts if stamp is not None], np.int64)
    if len(dts) and np.any(np.diff(dts) * float(base) < -RESTART):
        return None
    stamps = np.sort(np.array(pts, np.int64))
    stamps = stamps[stamps >= first]  # the others lack the frames that they are predicted from
    return stamps if len(stamps) and stamps[0] == first else None


# counted frames


def _count(path: Path, strict: bool) -> list[int | None]:
    """The time stamps of all frames, in the order in which they are shown."""
    with open_video(path) as (container, stream):
        set_up(stream, strict=strict, threads=True)
        stamps = [frame.pts for frame in container.decode(stream)]
    if not stamps:
        raise VideoError(f"{path} has no frame that can be decoded: it is cut off or damaged; {ADVICE}.")
    return stamps


def _counted_times(path: Path, stamps: list[int | None], scan: Scan) -> NDArray[np.float64]:
    """[M], s, ascending from 0. Where time stamps are missing, the frames come at a constant rate."""
    known = [time for time in (seconds(stamp, scan.base) for stamp in stamps) if time is not None]
    timeline = Timeline(float(scan.rate) if scan.rate else None)
    times = np.array([timeline.place(time) for time in known])
    complete = len(known) == len(stamps)
    if complete and (timeline.restarts or not scan.untimed):
        ascending: NDArray[np.float64] = np.maximum.accumulate(times)
        return ascending
    if complete and len(set(known)) == len(known):
        ascending = np.sort(times) - times.min()  # such formats store the times in decoding order
        return ascending
    if scan.rate is None:
        raise VideoError(f"{path} stores no times and no frame rate: re-encode it.")
    return np.arange(len(stamps)) / float(scan.rate)


def _usual_gap(times: NDArray[np.float64], rate: Fraction | None) -> float:
    """From a frame to the next, s."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 1 / float(rate or 25)


def frame_rate(stream: Any) -> Fraction | None:
    """Return the frames per second that the container states or FFmpeg guesses; None where neither is sensible."""
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return rate if rate and 0.01 < rate < 1000 else None


def _check_gaps(path: Path, times: NDArray[np.float64], duration: float) -> None:
    gaps = np.diff(np.append(times, duration))
    if not np.isfinite(duration) or gaps.max() > MAX_GAP:
        raise VideoError(
            f"{path} has damaged times: frame {int(gaps.argmax())} is shown for {gaps.max():.0f} s; remux or "
            "re-encode it."
        )


# files that decord reads right


def _is_plain(container: Any, stream: Any) -> bool:
    """Whether a file has one video stream, of 8-bit H.264, in mp4, mov or mkv."""
    formats = {"mov", "matroska"} & set(container.format.name.split(","))
    context = stream.codec_context
    pictures = context.name == "h264" and context.pix_fmt in ("yuv420p", "yuvj420p")
    return bool(formats) and pictures and len(container.streams.video) == 1


def _is_simple(packets: Packets, pts: NDArray[np.int64]) -> bool:
    """Whether each packet is shown, and each key frame separates the frames shown before it from those after."""
    stamps = np.array(packets.pts, np.int64) if len(pts) == len(packets.pts) else np.zeros(0, np.int64)
    if not len(stamps) or stamps.min() < 0 or stamps[0] != pts[0] or not packets.keys[0]:
        return False
    before = np.concatenate([[stamps[0] - 1], np.maximum.accumulate(stamps)[:-1]])
    after = np.minimum.accumulate(stamps[::-1])[::-1]
    keys = np.array(packets.keys)
    separate = (before < stamps) & (after == stamps)
    return bool(np.all(np.array(packets.closed)[keys]) and np.all(separate[keys]))
