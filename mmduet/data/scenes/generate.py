"""`scenes`: a generated data set of real mp4 files with exact annotations in all the published formats.

A clip shows 2 to 5 scenes, each a photograph panned, zoomed and lit, and pauses: blank walls. Scenes begin on half
seconds, so at 2 frames per second the label of every frame is exact.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from tqdm import tqdm

from mmduet.data.annotations import Whole
from mmduet.data.scenes.annotations import annotation_files
from mmduet.data.scenes.render import render_clip
from mmduet.data.scenes.script import SPLITS, VERSION, Script, write_script
from mmduet.errors import AnnotationError, FileError
from mmduet.files import clean, is_temporary, read_json, validated, write_file, write_json
from mmduet.system.workers import map_in_processes

MAX_CLIPS = 100_000  # of a split: their names have five digits


def make_scenes(
    root: str | Path, *, seed: int = 0, train: int = 240, val: int = 24, test: int = 60, workers: int = 2
) -> Path:
    """Make what is missing of `root`/scenes. A later call resumes an interrupted one.

    Existing clips are kept. Annotations are written again where they differ from what this version makes.

    Args:
        root: The folder that holds scenes/, or gets it.
        seed: The same seed makes the same files.
        train: Training clips; a split that has more keeps them.
        val: Validation clips, likewise.
        test: Test clips, likewise.
        workers: Processes that render.

    Returns:
        The folder `root`/scenes.

    Raises:
        AnnotationError: The folder was made with another seed or by another version, or an argument is negative or too
            large.
        FileError: The folder holds something else, or cannot be written.
    """
    if seed < 0 or min(train, val, test) < 0:
        raise AnnotationError(f"seed={seed}, train={train}, val={val}, test={test}: none of these may be negative.")
    if max(train, val, test) > MAX_CLIPS:
        raise AnnotationError(f"train={train}, val={val}, test={test}: a split has at most {MAX_CLIPS:,} clips.")
    folder = Path(root) / "scenes"
    manifest = _read_manifest(folder, seed)
    sizes = {
        split: max(count, manifest["clips"].get(split, 0))
        for split, count in zip(SPLITS, (train, val, test), strict=True)
    }
    scripts = {split: [write_script(seed, split, n) for n in range(count)] for split, count in sizes.items() if count}
    stated = {"seed": seed, "version": VERSION}
    write_json(folder / "scenes.json", {**stated, **manifest})  # first, so that an interrupted run keeps its seed
    _render_missing(folder, scripts, workers)
    for split, listed in scripts.items():
        for name, text in annotation_files(split, listed).items():
            path = folder / "annotations" / name
            if not path.is_file() or path.read_bytes() != text.encode():
                write_file(path, text)
    write_json(folder / "scenes.json", {**stated, "clips": sizes})
    return folder


class _Manifest(BaseModel):
    seed: Annotated[Whole, Field(ge=0)]
    version: Whole
    clips: dict[Literal[SPLITS], Annotated[Whole, Field(ge=0, le=MAX_CLIPS)]]  # type: ignore[valid-type]


def _read_manifest(folder: Path, seed: int) -> dict[str, Any]:
    path = folder / "scenes.json"
    if not path.is_file():
        _check_empty(folder)
        return {"clips": {}}
    try:
        manifest = validated(path, _Manifest, read_json(path), place="field")
    except AnnotationError as error:
        raise AnnotationError(f"{path} is damaged: remove {folder}, and it is made again. ({error})") from error
    found, wanted = (manifest.seed, manifest.version), (seed, VERSION)
    if found != wanted:
        raise AnnotationError(
            f"{folder} was made with (seed, version) {found}, {wanted} is requested: choose another root, or remove it."
        )
    return {"clips": dict(manifest.clips)}


def _check_empty(folder: Path) -> None:
    """Raises FileError when the folder holds what this function did not make."""
    clean(folder)
    if os.path.lexists(folder) and not folder.is_dir():
        raise FileError(f"{folder} is no folder: choose another root, or remove it.")
    names = [path.name for path in folder.iterdir() if not is_temporary(path)] if folder.is_dir() else []
    if names:
        raise FileError(f"{folder} holds {min(names)}, which this command did not make: choose another root.")


def _render_missing(folder: Path, scripts: dict[str, list[Script]], workers: int) -> None:
    jobs = [
        (script, folder / "videos" / split / script.name)
        for split, listed in scripts.items()
        for script in listed
        if not (folder / "videos" / split / script.name).is_file()
    ]
    if not jobs:
        return
    done = map_in_processes(_render_job, jobs, workers=workers, chunk=2)
    for _ in tqdm(done, total=len(jobs), desc="scenes", unit="clip"):
        pass


def _render_job(job: tuple[Script, Path]) -> None:
    render_clip(*job)
