"""Clip: a clip as a page embeds it, with its first frame at 0 s as in a trace.

The times of a trace count from the first shown frame. A browser shows the times of the file, which may begin later,
and it does not seek past the length that some such files state. The file's times are moved, and nothing is encoded.
"""

import io
import math
from fractions import Fraction
from typing import Any

from mmduet.errors import VideoError

UNSEEN = Fraction(1, 100)  # s, shorter than a frame: sound in Opus begins 7 ms before the pictures


def from_zero(clip: bytes) -> bytes:
    """Move the times of an MP4, WebM or Matroska clip so that its first shown frame is at 0 s.

    Returns:
        The clip as it is where this holds already, to `UNSEEN`, or where no frame can be decoded. Of another one, its
        best video and audio track, without sound from before the first frame.

    Raises:
        VideoError: The times cannot be moved, or not without another shape of the picture.
    """
    import av

    start = _first_frame(clip)
    if start is None or abs(start) <= UNSEEN:
        return clip
    try:
        moved = _moved(clip, start)
        if not math.isclose(_pixel_aspect(moved), _pixel_aspect(clip), rel_tol=0.02):  # PyAV writes none into a WebM
            raise ValueError("its pixels would become square")
        return moved
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            f"the clip's times start at {float(start):.3g} s and cannot be moved to 0 ({error}): re-encode it."
        ) from error


def _first_frame(clip: bytes) -> Fraction | None:
    """The time of the first shown frame, s; None where it is not known."""
    import av

    try:
        with av.open(io.BytesIO(clip), "r") as container:
            stream: Any = container.streams.best("video")
            frame: Any = None if stream is None else next(container.decode(stream), None)
            return None if frame is None or frame.pts is None else frame.pts * frame.time_base
    except (av.FFmpegError, OSError, ValueError):
        return None


def _pixel_aspect(clip: bytes) -> Fraction:
    """A stored pixel's width divided by its height; 1 where none is stated."""
    import av

    with av.open(io.BytesIO(clip), "r") as container:
        stream: Any = container.streams.best("video")
        return stream.sample_aspect_ratio or Fraction(1)


def _moved(clip: bytes, start: Fraction) -> bytes:
    import av

    written = io.BytesIO()
    with av.open(io.BytesIO(clip), "r") as reader, av.open(written, "w", format=_format(clip)) as writer:
        best: Any = (reader.streams.best("video"), reader.streams.best("audio"))
        tracks = [track for track in best if track is not None]
        # opaque: as the reader has it; else PyAV asks for an encoder with the decoder's name, and AV1 has none
        copies = {track.index: writer.add_stream_from_template(track, opaque=True) for track in tracks}
        if aspect := tracks[0].sample_aspect_ratio:  # where the container states it, not the pictures
            copies[tracks[0].index].codec_context.sample_aspect_ratio = aspect
        for packet in reader.demux(tracks):
            _move(packet, start)
            if packet.size and (packet.stream.type == "video" or (packet.pts or 0) >= 0):
                packet.stream = copies[packet.stream.index]
                writer.mux(packet)
    return written.getvalue()


def _move(packet: Any, start: Fraction) -> None:
    shift = round(start / packet.time_base)
    packet.pts = None if packet.pts is None else packet.pts - shift
    packet.dts = None if packet.dts is None else packet.dts - shift


def _format(clip: bytes) -> str:
    """FFmpeg's name of the clip's own format."""
    if clip[4:8] == b"ftyp":
        return "mov" if clip[8:12] == b"qt  " else "mp4"
    return "webm" if b"webm" in clip[:64] else "matroska"
