"""Files: read with checks, written complete or not at all, and only where they are ours to write.

Everything that the package writes goes through this module. A file or folder is written under a temporary name beside
its target, flushed to the disk, and renamed. Temporary names carry this machine and process, so that the next run can
remove what a killed one left.
"""

import errno
import hashlib
import itertools
import json
import os
import platform
import re
import reprlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from mmduet.errors import AnnotationError, FileError

YAML_LIMIT = 1_000_000  # characters: a second's reading
MANIFEST = "files.json"  # of a folder that this package wrote: {file: bytes}
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_TEMPORARY = re.compile(rf"\.mmduet-{_HOST}-(\d+)-\d+\.part")
_count = itertools.count()
_cleaned: set[Path] = set()


# reading


def read_text(path: str | Path) -> str:
    """A UTF-8 text file, with or without a byte order mark; its line ends stay as they are.

    Raises AnnotationError when it is missing, no regular file, not readable, or not UTF-8.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise AnnotationError(f"{path} is {_kind_of(path)}: give a file.")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise AnnotationError(f"{path} does not exist: correct the path.") from None
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error
    except (OSError, ValueError) as error:
        raise AnnotationError(f"{path} cannot be read: {_reason(error)}.") from error


def read_json(path: str | Path) -> Any:
    """What a JSON file holds. Raises AnnotationError as `read_text`, and when it is not JSON."""
    text = read_text(path)
    try:
        return _loads(text)
    except ValueError as error:
        raise AnnotationError(f"{path} is no readable JSON: {error}.") from error


def read_jsonl(path: str | Path) -> Iterator[tuple[int, Any]]:
    """(line number from 1, value) of each line of a JSON Lines file that is not blank.

    Lines end at a line feed alone: U+2028 and its like may stand inside a text.
    Raises AnnotationError as `read_text`, and for the first line that is not JSON, with its number.
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            try:
                yield number, _loads(line)
            except ValueError as error:
                raise AnnotationError(f"{path}, line {number}: no JSON: {error}.") from error


def read_yaml(path: str | Path) -> Any:
    """What a YAML file holds, read as plain values: aliases and keys given twice are refused, 1e-5 is a number.

    Raises AnnotationError as `read_text`, and when it is not such YAML or longer than `YAML_LIMIT`.
    """
    text = read_text(path)
    if len(text) > YAML_LIMIT:
        raise AnnotationError(f"{path} has {len(text):,} characters; a YAML file may have {YAML_LIMIT:,}: shorten it.")
    try:
        return _Yaml(text).get_single_data()
    except RecursionError:
        raise AnnotationError(f"{path} is no readable YAML: it is nested too deeply.") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:  # all but the first: of tags
        raise AnnotationError(f"{path} is no readable YAML: {' '.join(str(error).split())}.") from error


class _Yaml(yaml.SafeLoader):
    """Refuses aliases, of which a few lines can stand for billions of values, and keys given twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases are not read", self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_Yaml.add_implicit_resolver(  # as in YAML 1.2; PyYAML reads 1e-5, without a point, as text
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def validated(path: str | Path, kind: Any, value: Any, *, place: str = "entry") -> Any:
    """`value`, read from `path`, as `kind`, a pydantic type.

    Raises AnnotationError that names the file, the place in it (after the word `place`), the rule and the value found.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = f" {place_of(first['loc'])}" if first["loc"] else ""
        raise AnnotationError(f"{path}: {place}{where}: {first['msg']}; found {shown(first['input'])}.") from error
    except RecursionError:
        raise AnnotationError(f"{path}: {place}: it is nested too deeply.") from None


def shown(value: Any) -> str:
    """A value as a message shows it: on one line, in at most 120 characters, whatever its size and depth."""
    try:
        return _shortened(_REPR.repr(value))
    except ValueError:  # an integer of over 4,300 digits
        return f"a very large {type(value).__name__}"


def place_of(names: Iterable[Any]) -> str:
    """The path of keys and indices to a value, as a message shows it."""
    return _shortened(" / ".join(str(name) if str(name).isprintable() else repr(name) for name in names))


_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 3, 100, 100


def inside(root: Path, name: str) -> Path | None:
    """`root`/`name`, or None when `name` is absolute or leads out of `root`."""
    parts = PurePosixPath(name.replace("\\", "/"))
    depth = 0
    for part in parts.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return None
    return None if parts.is_absolute() or re.match(r"[A-Za-z]:", name) else root / name


# whether a target is ours to write


def check_target(path: str | Path, *, ours: Callable[[Path], bool], inputs: Iterable[str | Path] = ()) -> None:
    """Refuse to write a file before any work is done for it; makes its folder.

    ours: whether a file that exists is of the kind that will be written. inputs: what the command reads.
    Raises FileError when the target is a folder, one of the inputs, a file of another kind, or cannot be written.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise FileError(f"{path} is {_kind_of(path)}: give the name of a file to write.")
    for read in inputs:
        if _is_same(path, Path(os.path.realpath(read))):
            raise FileError(f"{path} is what this command reads: give another output.")
    if path.is_file() and path.stat().st_size and not _is_ours(path, ours):
        raise FileError(f"{path} is a file of another kind and stays as it is: give another output.")
    make_folder(path.parent)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise FileError(f"{path} cannot be written: check its permissions, or give another output.")


def check_folder(folder: str | Path) -> None:
    """Refuse to replace a folder that this package did not write, before any work is done for it.

    Raises FileError unless it does not exist, is empty, or holds exactly the files of its manifest.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder} is {_kind_of(folder)}: give the name of a folder to write.")
    here = Path.cwd().resolve()
    if folder.resolve() in (here, *here.parents):
        raise FileError(f"{folder} is the current folder, or holds it: give the name of a new folder.")
    if folder.is_dir() and any(folder.iterdir()):
        foreign = sorted(_files(folder) - _listed(folder).keys() - {MANIFEST})
        if foreign or not _listed(folder):
            raise FileError(
                f"{folder} holds {foreign[0] if foreign else 'folders'}, which this command did not write: give the "
                "name of a new folder, or remove this one."
            )


def is_complete(folder: Path) -> bool:
    """Whether a folder has all files of its manifest, with their sizes."""
    sizes = _listed(folder)
    try:
        return bool(sizes) and all((folder / name).stat().st_size == size for name, size in sizes.items())
    except OSError:
        return False


def _listed(folder: Path) -> dict[str, int]:
    """The files of a folder's manifest and their sizes in bytes; none without a readable manifest."""
    try:
        return TypeAdapter(dict[str, int]).validate_python(read_json(folder / MANIFEST), strict=True)
    except (AnnotationError, ValidationError):
        return {}


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def _is_ours(path: Path, ours: Callable[[Path], bool]) -> bool:
    try:
        return ours(path)
    except (ValueError, OSError):  # DuetError is a ValueError
        return False


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path == other or path.samefile(other)  # a hard link is another name of the same file
    except (OSError, ValueError):
        return False


# writing


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path`, to be written by the block; it takes `path`'s place when the block ends well.

    An exception leaves `path` as it was. Raises FileError when the file cannot be written.
    """
    path = Path(os.path.realpath(path))  # a link stays a link
    make_folder(path.parent)
    temporary = _temporary(path)
    try:
        yield temporary
        _rename(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        _remove(temporary)


def write_file(path: str | Path, content: str | bytes) -> None:
    """Write a text (as UTF-8) or bytes, complete or not at all. Raises FileError when it cannot be written."""
    write_files({Path(path): content})


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as JSON, complete or not at all. Raises FileError when it cannot be written."""
    write_file(path, json.dumps(value, indent=1))


def write_files(contents: Mapping[Path, str | bytes]) -> None:
    """Write several files: all are complete before the first is renamed, in the order given.

    Raises FileError, with the files that were there kept, when one cannot be written.
    """
    temporary = {path: _temporary(Path(os.path.realpath(path))) for path in contents}
    target = Path()
    try:
        for target, content in contents.items():
            make_folder(target.parent)
            temporary[target].write_bytes(content if isinstance(content, bytes) else content.encode())
            _flush(temporary[target])
        for target in contents:
            _rename(temporary[target], Path(os.path.realpath(target)), flush=False)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        for path in temporary.values():
            _remove(path)


@contextmanager
def replacing_folder(folder: str | Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, to be filled by the block; it takes `folder`'s place when the block ends
    well, with a manifest of its files.

    Raises FileError as `check_folder`, or when the folder cannot be written.
    """
    folder = Path(os.path.realpath(folder))
    check_folder(folder)
    make_folder(folder.parent)
    temporary = _temporary(folder)
    try:
        temporary.mkdir()
        yield temporary
        publish_folder(temporary, folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        _remove(temporary)


def publish_folder(temporary: Path, folder: Path) -> None:
    """Give a complete folder its manifest and its name, in the place of an earlier one that is ours."""
    files = sorted(_files(temporary))
    write_json(temporary / MANIFEST, {name: (temporary / name).stat().st_size for name in files})
    for name in files:
        _flush(temporary / name)
    replaced = _temporary(folder)
    if folder.exists():
        check_folder(folder)
        folder.replace(replaced)
    temporary.replace(folder)
    _flush(folder.parent)
    _remove(replaced)


def make_folder(path: Path) -> None:
    """Make a folder and its parents. Raises FileError when that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> FileError:
    """The error for a file that could not be written."""
    return FileError(
        f"{path} cannot be written ({_reason(error)}); what was there is kept: free some space, or check the folder "
        "and its permissions, then run the same command again."
    )


def _temporary(path: Path) -> Path:
    """A hidden name of this process beside `path`. Its ending stays, for writers that look at it."""
    _clean(path.parent)
    return path.with_name(f".mmduet-{_HOST}-{os.getpid()}-{next(_count)}.part{path.suffix[:16]}")


def _clean(folder: Path) -> None:
    """Remove what processes of this machine that are gone left in a folder; looked for once a process."""
    if folder in _cleaned or not folder.is_dir():
        return
    _cleaned.add(folder)
    for path in folder.glob(f".mmduet-{_HOST}-*.part*"):
        match = _TEMPORARY.match(path.name)
        if match and not _is_alive(int(match[1])):
            _remove(path)


def _is_alive(process: int) -> bool:
    import psutil

    return psutil.pid_exists(process)


def _rename(temporary: Path, path: Path, *, flush: bool = True) -> None:
    if flush:
        _flush(temporary)
    if path.exists():
        shutil.copymode(path, temporary)
    os.replace(temporary, path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    """Let the disk have a file, or a folder's names."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# lines that are added one by one


class LineFile:
    """A JSON Lines file that lines are added to, each in one write that is checked.

    A truncated last line, which a killed process left, is cut off when the file is opened. A lock beside the file
    keeps a second process from writing; its message names the process that holds it.
    Raises FileError when the file cannot be opened or is in use, and when a line cannot be written completely: what
    was written of it is cut off again.
    """

    def __init__(self, path: str | Path):
        from filelock import SoftFileLock, Timeout

        self.path = Path(os.path.realpath(path))
        make_folder(self.path.parent)
        self._lock = SoftFileLock(self.path.with_name(f".{self.path.name[:200]}.lock"), timeout=0)
        try:
            self._lock.acquire()
            self._file = self.path.open("ab", buffering=0)
            _cut_truncated_line(self.path)
        except Timeout:
            raise FileError(
                f"{self.path} is being written by process {self._lock.pid}: wait until it is done, or give another "
                "output."
            ) from None
        except OSError as error:
            self._lock.release()
            raise unwritable(self.path, error) from error

    def __enter__(self) -> "LineFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, value: Any) -> None:
        """Add one value as a line."""
        line = _encoded(value) + b"\n"
        try:
            end = self._file.seek(0, os.SEEK_END)
            try:
                written = self._file.write(line)
                if written != len(line):
                    raise OSError(errno.ENOSPC, f"{written} of {len(line)} bytes were written")
            except OSError:
                self._file.truncate(end)
                raise
        except OSError as error:
            raise unwritable(self.path, error) from error

    def close(self) -> None:
        """Close the file and release the lock."""
        self._file.close()
        self._lock.release()


def _cut_truncated_line(path: Path) -> None:
    """Cut what follows the last line end."""
    with path.open("rb+") as file:
        file.truncate(file.read().rfind(b"\n") + 1)


def _encoded(value: Any) -> bytes:
    """JSON in UTF-8; a lone surrogate, which UTF-8 cannot hold, stays an escape."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def _kind_of(path: Path) -> str:
    return "a folder" if path.is_dir() else "no regular file"


def _shortened(text: str) -> str:
    return text if len(text) < 120 else text[:117] + "..."


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
