"""Folders: replaced completely or not at all, and only where their manifest shows that this package wrote them."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter, ValidationError

from mmduet.errors import AnnotationError, FileError
from mmduet.files.atomic import scratch_folder, write_json
from mmduet.files.disk import flush, make_folder, remove, writing, writing_only
from mmduet.files.messages import kind_of
from mmduet.files.names import check_name
from mmduet.files.reading import read_json
from mmduet.files.temporary import ADDED, temporary_name

MANIFEST = "files.json"  # in each folder that this package wrote: {file: bytes}


def check_folder(folder: str | Path, *, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse to replace a folder that this package did not write, before any work is done.

    Args:
        folder: The folder to write.
        inputs: Folders that the command reads.

    Raises:
        FileError: The folder holds files that its manifest does not list, or it is or contains the current folder or
            an input, or its name is too long, or it cannot be written.
    """
    folder = Path(folder)
    check_name(folder, added=ADDED)
    with writing_only(folder):
        if os.path.exists(folder) and not folder.is_dir():
            raise FileError(f"{folder} is {kind_of(folder)}: give the name of a folder to write.")
        real = folder.resolve()
        for read, what in [(Path.cwd(), "the current folder"), *((Path(read), "an input") for read in inputs)]:
            if real in (read.resolve(), *read.resolve().parents):
                raise FileError(f"{folder} is {what}, or contains it: give the name of a new folder.")
        if folder.is_dir():
            _check_manifest(folder)
        make_folder(real.parent)
        try_to_write(real)


def try_to_write(path: Path) -> None:
    """Make and remove a temporary file in the folder of `path`."""
    temporary = temporary_name(path)
    try:
        temporary.touch()
    finally:
        remove(temporary)


def is_complete(folder: Path) -> bool:
    """Whether a folder has all files of its manifest, with their sizes."""
    sizes = _listed(folder)
    try:
        return bool(sizes) and all((folder / name).stat().st_size == size for name, size in sizes.items())
    except OSError:
        return False


@contextmanager
def replacing_folder(folder: str | Path) -> Iterator[Path]:
    """Give the block a temporary folder to fill, which then replaces `folder`, with a manifest of its files.

    An exception leaves `folder` as it was.

    Raises:
        FileError: As for `check_folder`, or the folder cannot be written.
    """
    folder = Path(os.path.realpath(folder))
    check_folder(folder)
    with scratch_folder(folder.parent) as temporary:
        with writing(folder, [temporary]):
            yield temporary
        publish_folder(temporary, folder)


def publish_folder(temporary: Path, folder: Path) -> None:
    """Give a complete folder its manifest and its name, in place of an earlier one that this package wrote.

    Raises:
        FileError: As for `check_folder`, or the folder cannot be written.
    """
    with writing_only(folder):
        files = sorted(path.relative_to(temporary).as_posix() for path in temporary.rglob("*") if path.is_file())
        write_json(temporary / MANIFEST, {name: (temporary / name).stat().st_size for name in files})
        for name in files:
            shutil.copymode(temporary / MANIFEST, temporary / name)  # the mode that the umask gives
            flush(temporary / name)
        flush(temporary)
        replaced = temporary_name(folder, was=folder.name)
        if folder.exists():
            check_folder(folder)
            folder.replace(replaced)  # `clean` gives the name back when this process ends here
        temporary.replace(folder)
        flush(folder.parent)
        remove(replaced)


def _check_manifest(folder: Path) -> None:
    """Raises FileError when a folder holds what its manifest does not list."""
    listed = _listed(folder)
    known = {MANIFEST, *listed, *(str(parent) for name in listed for parent in PurePosixPath(name).parents)}
    foreign = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    foreign = [name for name in foreign if name not in known] or ([] if listed else foreign)
    if foreign:
        raise FileError(
            f"{folder} holds {foreign[0]}, which this command did not write: give the name of a new folder, or remove "
            "this one."
        )


def _listed(folder: Path) -> dict[str, int]:
    """The files of a folder's manifest and their sizes in bytes; none without a readable manifest."""
    try:
        return TypeAdapter(dict[str, int]).validate_python(read_json(folder / MANIFEST), strict=True)
    except (AnnotationError, ValidationError):
        return {}
