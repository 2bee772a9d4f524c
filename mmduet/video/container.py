"""Containers: a local file checked and opened with PyAV, its video stream, and how its pictures are displayed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any, NamedTuple

import numpy as np

from mmduet.errors import VideoError

MAX_PIXELS = 8192 * 4608  # of a frame; more is a damaged size
PATIENCE = 60.0  # s that one read of a file may take
ADVICE = "get the file again, or re-encode its readable part"
# Containers of video, and of sound for a message that names the missing pictures. Playlists open other files: refused.
FORMATS = (
    "mov,matroska,webm,avi,mpegts,mpeg,flv,live_flv,asf,ogg,mpegvideo,m4v,h263,h264,hevc,obu,vc1,ivf,mxf,nut,wtv,rm,dv,"
    "gif,apng,mjpeg,yuv4mpegpipe,swf,gxf,nsv,av1,mp3,aac,flac,wav"
)


def check_file(path: Path) -> None:
    """Raise VideoError unless the path is a file that can be read."""
    try:
        status = path.stat()
        if S_ISREG(status.st_mode):  # opening a pipe waits for its writer
            _head(path)
    except FileNotFoundError:
        raise VideoError(f"{path} does not exist: check the path to the clip.") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise VideoError(f"{path} cannot be read ({reason(error)}): check the name and its permissions.") from error
    if S_ISDIR(status.st_mode):
        raise VideoError(f"{path} is a folder: give the video file in it.")
    if not S_ISREG(status.st_mode):
        raise VideoError(
            f"{path} is a pipe or a device: give a video file, or read it as a stream (StreamSource, "
            "`mmduet watch --live`)."
        )


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


@contextmanager
def open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a file's container and its video stream with PyAV. FFmpeg's errors become VideoErrors."""
    import av

    av.logging.set_level(None)  # the errors raised here hold what FFmpeg would print
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
    try:
        # absolute, so that FFmpeg does not read a part of the name as a protocol
        address, format = str(path.absolute()), named_format(path)
        container = av.open(address, format=format, options=options, timeout=PATIENCE, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            f"{path} ({_size(path)} bytes) is not a video that can be opened, or is cut off: give a complete mp4, mkv "
            f"or webm ({reason(error)})."
        ) from error
    try:
        with container:
            try:
                stream = picture_stream(container)
            except VideoError as error:
                raise VideoError(f"{path} has {error}.") from None
            yield container, stream
    except (av.FFmpegError, MemoryError, IndexError) as error:  # IndexError: streams that were found late
        raise VideoError(f"{path} is cut off or damaged: {ADVICE} ({reason(error)}).") from error


JPEG = b"\xff\xd8"  # the first bytes of a picture


def named_format(path: Path) -> str | None:
    """FFmpeg's name of the format where only the file's name tells it: JPEG pictures in a row look like one picture."""
    named = path.suffix.lower() in (".mjpeg", ".mjpg")
    return "mjpeg" if named and _head(path).startswith(JPEG) else None


def reads_its_end(path: Path) -> bool:
    """Whether FFmpeg reads to a file's end when it opens it, which never comes while more is awaited: an Ogg file."""
    return _head(path).startswith(b"OggS")


def picture_stream(container: Any) -> Any:
    """Choose the best video stream. A cover picture does not count.

    Raises:
        VideoError: There is no such stream. The message does not name the file.
    """
    from av.stream import Disposition

    best, streams = container.streams.best("video"), container.streams.video
    moving = [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
    if not moving:
        raise VideoError(
            "no picture track (sound alone, or cut off at its very start): give a whole clip with pictures"
        )
    stream = best if best in moving else moving[0]
    if stream.codec_context is None:
        raise VideoError("a picture track in a format that FFmpeg cannot decode: convert it to H.264 in mp4")
    return stream


def set_up(stream: Any, *, strict: bool, threads: bool) -> None:
    """Prepare a stream for decoding.

    Args:
        stream: PyAV's video stream.
        strict: A frame with an error raises, instead of being repaired with grey.
        threads: Decode several frames at a time.
    """
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)} | ({"err_detect": "explode"} if strict else {})
    stream.thread_type = "AUTO" if threads else "SLICE"


class Orientation(NamedTuple):
    """How a frame is put upright: first mirrored left to right or not, then turned.

    `turns` are quarter turns, counter-clockwise.
    """

    mirrored: bool
    turns: int


def orientation(frame: Any) -> Orientation:
    """Read a frame's display matrix. An angle between quarter turns counts as the nearest one."""
    mirrored = _is_mirrored(frame)
    # PyAV's angle is that of the picture's upper edge, which a mirror reverses
    return Orientation(mirrored, round(frame.rotation / 90 + 2 * mirrored) % 4)


def _is_mirrored(frame: Any) -> bool:
    """Whether the display matrix ((a, b, u), (c, d, v), (x, y, w)) has a negative determinant."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = np.frombuffer(data, np.int32, count=5).astype(float)
            return bool(a * d < b * c)
    return False


def pixel_aspect(stream: Any) -> float:
    """Return a stored pixel's width divided by its height; 1 where the file states none or an absurd one."""
    stated = float(stream.sample_aspect_ratio or 1)
    return stated if 0.1 <= stated <= 10 else 1.0


def reason(error: BaseException) -> str:
    """Show FFmpeg's message, without codes and paths."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:160]


# whether a file is as long as its header and its index say


def _size(path: Path) -> int:
    """Bytes; 0 for a file that was removed meanwhile."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def cut_off(path: Path, stream: Any) -> VideoError | None:
    """The error of a file that ends before its header or its index says; None where it is complete."""
    entries, size = stream.index_entries, _size(path)
    last = max((entries[n].pos + entries[n].size for n in range(max(0, len(entries) - 1), len(entries))), default=0)
    stated = max(last, _stated_size(_head(path)) or 0)
    if stated <= size:
        return None
    return VideoError(f"{path} is cut off: it has {size} of at least {stated} bytes; {ADVICE}.")


EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # the first bytes of mkv and webm


def _stated_size(head: bytes) -> int | None:
    """Bytes that a Matroska file says it has; None for other formats, and for recordings without a stated size."""
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
    """(value, length in bytes) of Matroska's number.

    The number of leading zero bits is the number of further bytes. All ones: unknown.
    """
    width = 9 - data[0].bit_length() if data and data[0] else 1
    value = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    known = len(data) >= width and data[0] != 0 and value != (1 << 7 * width) - 1
    return (value if known else None), width
