"""Clip: a clip as a page embeds it, with its first frame at 0 s as in a trace.

The times of a trace count from the first shown frame. A browser shows the times of the file, which may begin later,
and it does not seek past the length that some such files state. The file's times are moved, and nothing is encoded.
"""

import io
from fractions import Fraction
from typing import Any

from mmduet.errors import VideoError


def from_zero(clip: bytes) -> bytes:
    """Move the times of an MP4, WebM or Matroska clip so that its first shown frame is at 0 s.

    Returns:
        The clip as it is where this holds already, or where no frame can be decoded. Of another one, its best video
        and audio track, without sound from before the first frame. PyAV cannot write the pixel aspect ratio of a WebM.

    Raises:
        VideoError: The times cannot be moved.
    """
    import av

    start = _first_frame(clip)
    if not start:
        return clip
    try:
        return _moved(clip, start)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            f"the clip's times start at {float(start):.1f} s and cannot be moved to 0 ({error}): re-encode it."
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


def _moved(clip: bytes, start: Fraction) -> bytes:
    import av

    written = io.BytesIO()
    with av.open(io.BytesIO(clip), "r") as reader, av.open(written, "w", format=_format(clip)) as writer:
        best = (reader.streams.best("video"), reader.streams.best("audio"))
        tracks = [track for track in best if track is not None]
        copies = {track.index: writer.add_stream_from_template(track) for track in tracks}
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
