"""Files: read with checks, written complete or not at all, and only where they are ours to write.

Everything that the package writes goes through this module. A file or folder is written under a temporary name beside
its target, flushed to the disk, and renamed. Temporary names carry this machine and process, so that the next run can
remove what a killed one left.
"""

import errno
import hashlib
import itertools
import json
import math
import os
import platform
import re
import reprlib
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from mmduet.errors import AnnotationError, DuetError, FileError

YAML_LIMIT, YAML_DEPTH = 100_000, 50  # characters, at most some seconds' reading; levels
MANIFEST = "files.json"  # of a folder that this package wrote: {file: bytes}
_PREFIX = ".mmduet-"


def _machine() -> str:
    """Where a process number means one process: this machine, and in it the container."""
    try:
        processes = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        processes = 0
    return hashlib.sha256(f"{platform.node()} {processes}".encode()).hexdigest()[:8]


_MACHINE = _machine()
_TEMPORARY = re.compile(rf"{re.escape(_PREFIX)}{_MACHINE}-(\d+)-\d+\.part(?:\.was-(.+)|.*)")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
_count = itertools.count()
_cleaned: set[Path] = set()


# reading


def read_text(path: str | Path, *, cut: bool = False) -> str:
    """A UTF-8 text file, with or without a byte order mark; its line ends stay as they are.

    cut: leave out what follows the last line end.
    Raises AnnotationError when it is missing, no regular file, not readable, or not UTF-8.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise AnnotationError(f"{path} is {_kind_of(path)}: give a file.")
        content = path.read_bytes()
        return (content[: content.rfind(b"\n") + 1] if cut else content).decode("utf-8-sig")
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


def read_jsonl(path: str | Path, *, cut: bool = False) -> Iterator[tuple[int, Any]]:
    """(line number from 1, value) of each line of a JSON Lines file that is not blank.

    Lines end at a line feed alone: U+2028 and its like may stand inside a text. cut: leave out a last line without a
    line end, which a killed process left.
    Raises AnnotationError as `read_text`, and for the first line that is not JSON, with its number.
    """
    for number, line in enumerate(read_text(path, cut=cut).split("\n"), 1):
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
    """Refuses aliases, of which a few lines can stand for billions of values, keys given twice, and deep nesting, which
    takes long to read.
    """

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases are not read", self.peek_event().start_mark)
        self.depth += 1
        if self.depth > YAML_DEPTH:
            raise RecursionError
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

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
        where = f"{place} {place_of(first['loc'])}" if first["loc"] else place.removesuffix(" /")
        raise AnnotationError(f"{path}: {where}: {first['msg']}; found {shown(first['input'])}.") from error
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
    with _writing(path):
        path = Path(os.path.realpath(path))
        if os.path.exists(path) and not os.path.isfile(path):
            raise FileError(f"{path} is {_kind_of(path)}: give the name of a file to write.")
        for read in inputs:
            if _is_same(path, Path(os.path.realpath(read))):
                raise FileError(f"{path} is what this command reads: give another output.")
        if os.path.isfile(path) and path.stat().st_size and not _is_ours(path, ours):
            raise FileError(f"{path} is a file of another kind and stays as it is: give another output.")
        make_folder(path.parent)
        with suppress(FileNotFoundError):
            path.stat()  # a name that is too long, a loop of links
        if os.path.exists(path) and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        _try_to_write(path)
        _forget_lock(path)


def check_folder(folder: str | Path, *, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse to replace a folder that this package did not write, before any work is done for it.

    inputs: folders that the command reads. Raises FileError unless the folder does not exist, is empty, or holds
    exactly the files of its manifest, and when it is, or holds, the current folder or an input.
    """
    folder = Path(folder)
    with _writing(folder):
        if os.path.exists(folder) and not folder.is_dir():
            raise FileError(f"{folder} is {_kind_of(folder)}: give the name of a folder to write.")
        real = folder.resolve()
        for read, what in [(Path.cwd(), "the current folder"), *((Path(read), "what is read") for read in inputs)]:
            if real in (read.resolve(), *read.resolve().parents):
                raise FileError(f"{folder} is {what}, or holds it: give the name of a new folder.")
        if folder.is_dir():
            _check_manifest(folder)
        make_folder(real.parent)
        _try_to_write(real)


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


def _is_ours(path: Path, ours: Callable[[Path], bool]) -> bool:
    try:
        return ours(path)
    except (ValueError, OSError, LookupError, TypeError, AttributeError):  # of another shape; DuetError is a ValueError
        return False


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path == other or path.samefile(other)  # a hard link is another name of the same file
    except (OSError, ValueError):
        return False


def _try_to_write(path: Path) -> None:
    temporary = _temporary(path)
    try:
        temporary.touch()
    finally:
        remove(temporary)


# writing


@contextmanager
def replacing_files(paths: Iterable[str | Path]) -> Iterator[list[Path]]:
    """Temporary files beside `paths`, to be written by the block. When it ends well all of them are flushed, and then
    renamed in the order given.

    An exception leaves the files as they were. Raises FileError when one cannot be written.
    """
    targets = [Path(os.path.realpath(path)) for path in paths]  # a link stays a link
    temporary = [_temporary(target) for target in targets]
    try:
        modes = [_create(*pair) for pair in zip(temporary, targets, strict=True)]
        with writing(targets[0], temporary):
            yield temporary
        for new, target, mode in zip(temporary, targets, modes, strict=True):
            with _writing(target):
                if stat.S_IMODE(new.stat().st_mode) != mode:
                    new.chmod(mode)  # some writers make files that nobody else can read
                _flush(new)
        for new, target in zip(temporary, targets, strict=True):
            with _writing(target):
                os.replace(new, target)
        for folder in {target.parent for target in targets}:
            with _writing(folder):
                _flush(folder)
    finally:
        for path in temporary:
            remove(path)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path`, to be written by the block; it takes `path`'s place when the block ends well.

    An exception leaves `path` as it was. Raises FileError when the file cannot be written.
    """
    with replacing_files([path]) as (temporary,):
        yield temporary


def write_files(contents: Mapping[Path, str | bytes]) -> None:
    """Write several files (texts as UTF-8): all are complete before the first is renamed, in the order given.

    Raises FileError, with the files that were there kept, when one cannot be written.
    """
    if not contents:
        return
    with replacing_files(contents) as temporary:
        for new, (path, content) in zip(temporary, contents.items(), strict=True):
            with _writing(path):
                new.write_bytes(content if isinstance(content, bytes) else content.encode())


def write_file(path: str | Path, content: str | bytes) -> None:
    """Write a text (as UTF-8) or bytes, complete or not at all. Raises FileError when it cannot be written."""
    write_files({Path(path): content})


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as JSON, complete or not at all. Raises FileError when it cannot be written."""
    write_file(path, json.dumps(value, indent=1))


def write_tensors(path: Path, tensors: dict[str, Any], metadata: dict[str, str] | None = None) -> None:
    """Write safetensors, complete or not at all. Raises FileError when they cannot be written."""
    from safetensors.torch import save_file

    with replacing(path) as temporary, scratch_folder(path.parent) as scratch:
        save_file(tensors, scratch / "tensors", metadata)  # makes a temporary file of its own, too
        (scratch / "tensors").rename(temporary)


def _create(temporary: Path, target: Path) -> int:
    """Create a temporary file; the mode that the target has, or will have."""
    with _writing(target):
        make_folder(target.parent)
        temporary.touch()
        return stat.S_IMODE((target if target.is_file() else temporary).stat().st_mode)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder in `parent`, removed after the block, or by a later run if this one is killed."""
    make_folder(parent)
    folder = _temporary(parent / "scratch")
    try:
        with _writing(parent):
            folder.mkdir()
        yield folder
    finally:
        remove(folder)


@contextmanager
def replacing_folder(folder: str | Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, to be filled by the block; it takes `folder`'s place when the block ends
    well, with a manifest of its files.

    Raises FileError as `check_folder`, or when the folder cannot be written.
    """
    folder = Path(os.path.realpath(folder))
    check_folder(folder)
    with scratch_folder(folder.parent) as temporary:
        with writing(folder, [temporary]):
            yield temporary
        publish_folder(temporary, folder)


def publish_folder(temporary: Path, folder: Path) -> None:
    """Give a complete folder its manifest and its name, in the place of an earlier one that is ours.

    Raises FileError as `check_folder`, or when the folder cannot be written.
    """
    with _writing(folder):
        files = sorted(path.relative_to(temporary).as_posix() for path in temporary.rglob("*") if path.is_file())
        write_json(temporary / MANIFEST, {name: (temporary / name).stat().st_size for name in files})
        for name in files:
            shutil.copymode(temporary / MANIFEST, temporary / name)  # as the umask wants it
            _flush(temporary / name)
        _flush(temporary)
        replaced = _temporary(folder, was=folder.name)
        if folder.exists():
            check_folder(folder)
            folder.replace(replaced)  # `clean` gives it its name back, should this process end here
        temporary.replace(folder)
        _flush(folder.parent)
        remove(replaced)


def make_folder(path: Path) -> None:
    """Make a folder and its parents. Raises FileError when that is not possible."""
    with _writing(path):
        path.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Remove a file or folder that this package wrote, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def locked(path: str | Path, *, patience: float = math.inf) -> Iterator[None]:
    """Let one process at a time, and one thread, into the block. The lock is a file beside `path`.

    patience: s to wait for it. Raises FileError that names the process that has it still.
    """
    make_folder(Path(path).parent)
    with _writing(path):
        lock = _acquire(Path(path), patience)
    try:
        yield
    finally:
        lock.release()


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name[:200]}.lock")


def _forget_lock(path: Path) -> None:
    """Remove the lock of a killed process, also where nothing is left to write."""
    if _lock_of(path).exists():
        with suppress(FileError):  # its process is at work
            _acquire(path, patience=0).release()


def _acquire(path: Path, patience: float) -> Any:
    """The lock of a file, as `locked`."""
    from filelock import SoftFileLock, Timeout

    lock = SoftFileLock(_lock_of(path))
    until = time.monotonic() + patience
    while True:
        _forget_unstated(Path(lock.lock_file))
        left = until - time.monotonic()
        try:
            lock.acquire(timeout=min(3.0, max(0.0, left)))
        except Timeout:
            if left < -3 or (left <= 0 and lock.pid is not None):  # a lock that was just made names nobody yet
                break
        else:
            _forget_breaks(Path(lock.lock_file))
            return lock
    raise FileError(f"{path} is being written by process {lock.pid}: wait until it is done, or give another output.")


def _forget_unstated(lock: Path) -> None:
    """Remove a lock whose process was killed before it could state its number."""
    with suppress(FileNotFoundError):
        if lock.stat().st_size == 0 and time.time() - lock.stat().st_mtime > 2:
            remove(lock)


def _forget_breaks(lock: Path) -> None:
    """Remove what processes left that were killed while they took over the lock of a killed one."""
    import psutil

    pattern = re.compile(rf"{re.escape(lock.name)}\.(?:break|restore)\.(\d+)\.[0-9a-f]+")
    for path in lock.parent.iterdir():
        match = pattern.fullmatch(path.name)
        if match and not psutil.pid_exists(int(match[1])):
            remove(path)


# what goes wrong


def unwritable(path: str | Path, reason: Any) -> FileError:
    """The error for a file that could not be written. reason: an exception or a text."""
    reason = _reason(reason) if isinstance(reason, Exception) else reason
    return FileError(
        f"{path} cannot be written ({reason}); what was there is kept: free some space, or check the folder and its "
        "permissions, then run the same command again."
    )


@contextmanager
def _writing(path: str | Path) -> Iterator[None]:
    """A block in which each OSError means that `path` cannot be written."""
    try:
        yield
    except DuetError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise unwritable(path, error) from error


@contextmanager
def writing(path: str | Path, temporary: Iterable[Path] = ()) -> Iterator[None]:
    """A block that writes among other things: errors of Python's, torch's, safetensors' and FFmpeg's writers become
    FileError; every other error stays what it is.

    temporary: what the block writes.
    """
    try:
        yield
    except Exception as error:
        if (reason := _write_failure(error, temporary)) is None:
            raise
        raise unwritable(path, reason) from error


def _write_failure(error: Exception, temporary: Iterable[Path]) -> str | None:
    """Why something could not be written, if that is what an exception says."""
    if getattr(error, "errno", None) in _NO_ROOM:
        return _reason(error)
    if isinstance(error, OSError):
        name = str(error.filename or "")
        return _reason(error) if any(name and name.startswith(str(path)) for path in temporary) else None
    text = str(error)
    if type(error).__name__ == "SafetensorError" and "I/O error" in text:
        return text.partition("I/O error: ")[2]
    if isinstance(error, RuntimeError) and ("inline_container" in text or "PytorchStreamWriter" in text):
        return "it could not be written completely"
    return None


# names of temporary files


def is_temporary(path: str | PurePosixPath | Path) -> bool:
    """Whether a name is that of a temporary file, of this machine or another."""
    return PurePosixPath(path).name.startswith(_PREFIX)


def _temporary(path: Path, *, was: str = "") -> Path:
    """A hidden name of this process beside `path`. Its ending stays, for writers that look at it."""
    clean(path.parent)
    end = f".was-{was[:180]}" if was else path.suffix[:16]
    return path.with_name(f"{_PREFIX}{_MACHINE}-{os.getpid()}-{next(_count)}.part{end}")


def clean(folder: Path) -> None:
    """Remove what processes of this machine that are gone left in a folder; looked for once a process."""
    if folder in _cleaned or not os.path.isdir(folder):
        return
    _cleaned.add(folder)
    for path in folder.glob(f"{_PREFIX}{_MACHINE}-*.part*"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and _is_left(path, int(match[1])):
            if match[2] and not (folder / match[2]).exists():
                with suppress(OSError):  # another process did it
                    path.replace(folder / match[2])  # the process ended between two renames
            remove(path)


def _is_left(path: Path, process: int) -> bool:
    """Whether no process is at work on a temporary file: its process is gone, or younger than the file."""
    import psutil

    try:
        owner = psutil.Process(process)
        return owner.status() == psutil.STATUS_ZOMBIE or path.lstat().st_mtime < owner.create_time() - 60
    except psutil.NoSuchProcess:
        return True
    except (psutil.AccessDenied, OSError):
        return False


def _flush(path: Path) -> None:
    """Let the disk have a file, or a folder's names, where the file system can do that."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


# lines that are added one by one


class LineFile:
    """A JSON Lines file that lines are added to, each in one write that is checked.

    A truncated last line, which a killed process left, is cut off when the file is opened. A lock beside the file
    keeps a second process from writing; its message names the process that holds it.
    Raises FileError when the file cannot be opened or is in use, and when a line cannot be written completely: what
    was written of it is cut off again.
    """

    def __init__(self, path: str | Path):
        self.path = Path(os.path.realpath(path))
        with _writing(self.path):
            make_folder(self.path.parent)
            clean(self.path.parent)
            self._lock = _acquire(self.path, patience=0)
            try:
                self._open()
                _cut_truncated_line(self.path)
            except BaseException:
                self._lock.release()
                raise

    def _open(self) -> None:
        self._file = self.path.open("ab", buffering=0)

    def __enter__(self) -> "LineFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, value: Any) -> None:
        """Add one value as a line."""
        line = _encoded(value) + b"\n"
        with _writing(self.path):
            end = self._file.seek(0, os.SEEK_END)
            try:
                written = self._file.write(line)
                if written != len(line):
                    raise OSError(errno.ENOSPC, f"{written} of {len(line)} bytes were written")
            except OSError:
                self._file.truncate(end)
                raise

    def rewrite(self, values: Iterable[Any]) -> None:
        """Replace all lines, complete or not at all."""
        write_file(self.path, b"".join(_encoded(value) + b"\n" for value in values))
        with _writing(self.path):
            self._file.close()
            self._open()

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
