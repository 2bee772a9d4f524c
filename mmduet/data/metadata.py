"""Metadata of a video folder: one scan by a process pool, resumable, repeated only for files that changed.

The file is the published JSON, `{file: {duration, fps, path, frame_count}}`, with each file's size and time of change.
A metadata file without these two is used as it is.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field
from tqdm import tqdm

from mmduet.data.annotations import Name, NameInside, Number, Seconds, Whole
from mmduet.errors import AnnotationError, VideoError
from mmduet.files import LineFile, check_target, is_temporary, read_json, remove, validated, write_json
from mmduet.system.workers import map_in_processes
from mmduet.video import read_metadata

SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".flv",
    ".wmv", ".asf", ".ogv",
)  # fmt: skip


class VideoInfo(BaseModel):
    """One video's metadata.

    Attributes:
        duration: In seconds.
        path: The file, relative to the folder.
        fps: Mean frame rate of the file.
        frame_count: Frames of the file.
        decoder: The library that decodes its frames.
        size: In bytes.
        mtime_ns: The file's time of change.
    """

    duration: Annotated[Seconds, Field(gt=0)]
    path: Name | None = None
    fps: Annotated[Number, Field(ge=0)] | None = None
    frame_count: Annotated[Number, Field(ge=0)] | None = None  # some writers count in floats
    decoder: str | None = None
    size: Annotated[Whole, Field(ge=0)] | None = None
    mtime_ns: Whole | None = None


@dataclass(frozen=True, slots=True)
class Metadata:
    """Metadata of a video folder.

    Attributes:
        videos: Each readable file's, by its path in the folder.
        broken: The error of each other file.
    """

    videos: dict[str, VideoInfo]
    broken: dict[str, str]


def load_metadata(folder: str | Path, path: str | Path) -> Metadata:
    """The metadata of `folder`, read from `path`. A missing file is made by a scan; so is one whose videos changed.

    Raises:
        AnnotationError: `path` is damaged, or neither it nor the folder exists.
    """
    folder, path = Path(folder), Path(path)
    if not path.is_file():
        return scan_videos(folder, path)
    videos = validated(path, dict[NameInside, VideoInfo], read_json(path))
    if all(info.mtime_ns is None for info in videos.values()):
        return Metadata(videos, {})
    changed = any(_stamp(folder / name) not in (None, (info.size, info.mtime_ns)) for name, info in videos.items())
    return scan_videos(folder, path) if changed else Metadata(videos, _broken_of(path))


def scan_videos(folder: str | Path, path: str | Path, *, workers: int | None = None) -> Metadata:
    """Read every video of a folder and write `path`. The next scan resumes one that was killed.

    Files whose size and time of change are those of the last scan are not opened again. Unreadable files are left out
    of `path` and listed, with the reason, in the file `.broken.json` next to it.

    Args:
        folder: The videos' folder.
        path: The metadata file to write.
        workers: Processes; None for one per core.

    Raises:
        AnnotationError: The folder does not exist.
        FileError: `path` was not written by a scan, or another scan is writing it.
    """
    folder, path = Path(folder), Path(path)
    if not folder.is_dir():
        raise AnnotationError(f"{folder} is no folder: check video_root, or give {path}, the videos' metadata.")
    check_output(path)
    found, unnamed = _stamped(folder)
    with LineFile(path.with_name(f".{path.name}.journal")) as journal:
        known = {name: row for name, row in _rows(path, journal.path) if _stamp_of(row) == found.get(name)}
        for name, row in _read_videos(folder, [name for name in found if name not in known], workers):
            known[name] = row
            journal.add([name, row])
        good = {name: known[name] for name in found if "error" not in known[name]}
        bad = unnamed | {name: known[name] for name in found if "error" in known[name]}
        write_json(_broken_path(path), bad)
        write_json(path, good)
        remove(journal.path)
    return Metadata(
        {name: VideoInfo(**row) for name, row in good.items()}, {name: row["error"] for name, row in bad.items()}
    )


def check_output(path: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse a file that no scan wrote, before any work is done.

    Args:
        path: The metadata file to write.
        inputs: The files that the command reads.

    Raises:
        FileError: The file was not written by a scan, or is one of the inputs.
    """
    check_target(path, ours=_is_of_scan, inputs=inputs)
    check_target(_broken_path(Path(path)), ours=_is_of_scan, inputs=inputs)


def _is_of_scan(path: Path) -> bool:
    rows = read_json(path)
    return isinstance(rows, dict) and all(_stamp_of(row) is not None for row in rows.values())


def _stamped(folder: Path) -> tuple[dict[str, tuple[int, int] | None], dict[str, dict[str, Any]]]:
    """The stamp of each video of a folder, and the rows of those whose names are not UTF-8: JSON cannot hold them."""
    found: dict[str, tuple[int, int] | None] = {}
    unnamed = {}
    for name in _videos(folder):
        if is_temporary(name):
            continue
        try:
            name.encode()
            found[name] = _stamp(folder / name)
        except UnicodeEncodeError:
            shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            unnamed[shown] = {"error": f"{shown}: the file's name is not UTF-8: rename it.", "size": 0, "mtime_ns": 0}
    return found, unnamed


def _videos(folder: Path) -> list[str]:
    """Paths in the folder, with forward slashes, sorted."""
    # hidden files are those that writers have not finished; macOS adds others to a copy
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _read_videos(folder: Path, names: list[str], workers: int | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each name and its row."""
    if not names:
        return
    workers = workers or os.cpu_count() or 1
    chunk = max(1, min(16, len(names) // (4 * workers)))
    rows = map_in_processes(partial(_row, folder), names, workers=workers, chunk=chunk)
    yield from zip(names, tqdm(rows, desc="scan", unit="video", total=len(names)), strict=True)


def _row(folder: Path, name: str) -> dict[str, Any]:
    size, mtime_ns = _stamp(folder / name) or (0, 0)
    try:
        seen = read_metadata(folder / name)
    except VideoError as error:
        return {"error": str(error), "size": size, "mtime_ns": mtime_ns}
    return {
        "duration": seen.duration, "fps": seen.fps, "path": name, "frame_count": seen.frame_count,
        "decoder": seen.decoder, "size": size, "mtime_ns": mtime_ns,
    }  # fmt: skip


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of change; None for a missing file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _stamp_of(row: Any) -> tuple[int, int] | None:
    """Size and time of change that a row states; None for anything but a row of a scan."""
    try:
        if "error" not in row:
            VideoInfo.model_validate(row)
        return int(row["size"]), int(row["mtime_ns"])
    except (TypeError, KeyError, ValueError):
        return None


def _rows(path: Path, journal: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of earlier scans, newest last."""
    for file in (path, _broken_path(path)):
        if file.is_file():
            yield from read_json(file).items()
    for line in journal.read_bytes().split(b"\n"):
        try:
            name, row = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            continue  # damaged: its video is opened again
        if isinstance(name, str) and _stamp_of(row) is not None:
            yield name, row


def _broken_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}.broken.json")


def _broken_of(path: Path) -> dict[str, str]:
    file = _broken_path(path)
    rows = validated(file, dict[str, dict[str, Any]], read_json(file)) if file.is_file() else {}
    return {name: str(row.get("error", "unknown")) for name, row in rows.items()}
