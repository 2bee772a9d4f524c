"""The clip of a player: its path, its bytes for the browser, or why it is not shown; and its length."""

from collections.abc import Iterable
from pathlib import Path

from mmduet.errors import DuetError, VideoError
from mmduet.reports.clip import from_zero

MAX_VIDEO_BYTES = 8_000_000
BROWSER_MAGIC = ((4, b"ftyp"), (0, b"\x1a\x45\xdf\xa3"))  # MP4; WebM and Matroska: (offset, bytes)


def clip_paths(clips: str | Path | Iterable[str | Path]) -> list[Path]:
    """List the paths of clips without repeats; a single path is one clip.

    Raises:
        DuetError: There is none.
    """
    paths = list(dict.fromkeys(map(Path, [clips] if isinstance(clips, str | Path) else clips)))
    if not paths:
        raise DuetError("clips=[]: give the path of at least one clip, or run `mmduet scenes --test 6`.")
    return paths


def read_clip(video: str | Path | bytes) -> tuple[bytes, str]:
    """Read a clip.

    Returns:
        Its bytes, with the first frame at 0 s as in a trace, and ""; or none and a sentence that says why it is not
        shown.

    Raises:
        VideoError: There is no such file, or it is empty.
    """
    name = "the clip" if isinstance(video, bytes) else str(video)
    size = len(video) if isinstance(video, bytes) else _file_size(Path(video))
    if not size:
        raise VideoError(f"{name}: has 0 bytes; give an MP4 or WebM clip.")
    if size > MAX_VIDEO_BYTES:
        limit = f"the {MAX_VIDEO_BYTES / 1e6:.0f} MB that a player takes"
        return b"", f"The clip is not shown: its {size / 1e6:.1f} MB are more than {limit}."
    clip = video if isinstance(video, bytes) else Path(video).read_bytes()
    if not any(clip[offset:].startswith(magic) for offset, magic in BROWSER_MAGIC):
        return b"", "The clip is not shown: browsers play MP4 and WebM, and it is neither."
    try:
        return from_zero(clip), ""
    except VideoError as error:
        return b"", f"The clip is not shown: {error}"


def clip_duration(video: str | Path | bytes) -> float:
    """The length of a file, s, also where no browser plays it; 0 where it is not known: of bytes, or no video.

    It counts from the first frame, as the times of a trace do.
    """
    if isinstance(video, bytes):
        return 0.0
    import av  # `mmduet.video` would load torch, for which the first picture of a page need not wait

    try:
        with av.open(str(video)) as container:
            stream = container.streams.best("video")
            if stream is None or stream.time_base is None:
                return 0.0
            if stream.duration:
                return float(stream.duration * stream.time_base)
            start = float((stream.start_time or 0) * stream.time_base)
            return max((container.duration or 0) / av.time_base - start, 0.0)  # Matroska states the end
    except (av.FFmpegError, OSError, ValueError):
        return 0.0


def _file_size(path: Path) -> int:
    if not path.is_file():
        raise VideoError(f"{path}: no such file; give the path of a clip, or its bytes.")
    return path.stat().st_size
