"""Metadata of a video folder: one scan by a process pool, resumable, repeated only for files that changed.

The file is the published JSON, `{file: {duration, fps, path, frame_count}}`, with each file's size and time of change
beside these; one made elsewhere, without them, is taken as it is.
"""

import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field
from tqdm import tqdm

from mmduet.data.annotations import Name, NameInside, Number, Seconds, Whole
from mmduet.errors import AnnotationError, VideoError
from mmduet.files import read_json, validated
from mmduet.video import read_metadata

SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v")


class VideoInfo(BaseModel):
    """What is known of a video. duration: s. fps: mean source rate. size: bytes. mtime_ns: its time of change."""

    duration: Annotated[Seconds, Field(gt=0)]
    path: Name | None = None
    fps: Annotated[Number, Field(ge=0)] | None = None
    frame_count: Annotated[Number, Field(ge=0)] | None = None  # some writers count in floats
    size: Annotated[Whole, Field(ge=0)] | None = None
    mtime_ns: Whole | None = None


@dataclass(frozen=True, slots=True)
class Metadata:
    """videos: of each readable file, by its path in the folder. broken: what is wrong with each other one."""

    videos: dict[str, VideoInfo]
    broken: dict[str, str]


def load_metadata(folder: str | Path, path: str | Path) -> Metadata:
    """The metadata of `folder`, read from `path`; scanned where there is none, or where files changed since.

    Raises AnnotationError when `path` is broken, or there is neither it nor the folder.
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
    """Look at every video of a folder and write `path`; a scan that was killed goes on where it stopped.

    Files whose size and time of change are those of the last scan are not opened again. What cannot be read is left
    out of `path` and listed, with the reason, in the file `.broken.json` beside it. workers: processes; None for as
    many as there are cores.

    Raises AnnotationError when there is no such folder.
    """
    folder, path = Path(folder), Path(path)
    if not folder.is_dir():
        raise AnnotationError(f"{folder} is no folder: check video_root, or give {path}, the videos' metadata.")
    found = {name: _stamp(folder / name) for name in _videos(folder)}
    journal = path.with_name(f".{path.name}.journal")
    known = {name: row for name, row in _rows(path, journal) if (row["size"], row["mtime_ns"]) == found.get(name)}
    todo = [name for name in found if name not in known]
    path.parent.mkdir(parents=True, exist_ok=True)
    known |= _look_at(folder, todo, journal, workers)
    good = {name: known[name] for name in found if "error" not in known[name]}
    bad = {name: known[name] for name in found if "error" in known[name]}
    _write_json(_broken_path(path), bad)
    _write_json(path, good)
    journal.unlink(missing_ok=True)
    return Metadata(
        {name: VideoInfo(**row) for name, row in good.items()}, {name: row["error"] for name, row in bad.items()}
    )


def _videos(folder: Path) -> list[str]:
    """Paths in the folder, with forward slashes, sorted."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _look_at(folder: Path, names: list[str], journal: Path, workers: int | None) -> dict[str, dict[str, Any]]:
    """A row of each, also added to the journal as it comes."""
    if not names:
        return {}
    workers = min(workers or os.cpu_count() or 1, len(names))
    context = multiprocessing.get_context("spawn")  # safe beside torch's threads
    rows = {}
    with journal.open("ab", buffering=0) as file, ProcessPoolExecutor(workers, mp_context=context) as pool:
        looked = pool.map(partial(_row, folder), names, chunksize=max(1, min(16, len(names) // (4 * workers))))
        for name, row in zip(names, tqdm(looked, desc="scan", unit="video", total=len(names)), strict=True):
            file.write(json.dumps([name, row]).encode() + b"\n")
            rows[name] = row
    return rows


def _row(folder: Path, name: str) -> dict[str, Any]:
    size, mtime_ns = _stamp(folder / name) or (0, 0)
    try:
        seen = read_metadata(folder / name)
    except VideoError as error:
        return {"error": str(error), "size": size, "mtime_ns": mtime_ns}
    return {
        "duration": seen.duration, "fps": seen.fps, "path": name, "frame_count": seen.frame_count,
        "size": size, "mtime_ns": mtime_ns,
    }  # fmt: skip


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of change; None for a file that is not there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _rows(path: Path, journal: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """What earlier scans saw, newest last."""
    for file in (path, _broken_path(path)):
        if file.is_file():
            rows = validated(file, dict[str, dict[str, Any]], read_json(file))
            yield from ((name, row) for name, row in rows.items() if row.get("mtime_ns") is not None)
    if journal.is_file():
        lines = journal.read_bytes().split(b"\n")[:-1]  # without the line that a killed scan was writing
        yield from (tuple(json.loads(line)) for line in lines)


def _broken_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}.broken.json")


def _broken_of(path: Path) -> dict[str, str]:
    file = _broken_path(path)
    return {name: row["error"] for name, row in read_json(file).items()} if file.is_file() else {}


def _write_json(path: Path, content: Any) -> None:
    aside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        aside.write_text(json.dumps(content, indent=1), encoding="utf-8")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
