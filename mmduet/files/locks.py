"""Locks: one writer for a file. The lock is a hidden file in the folder of the file."""

import math
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
from filelock import SoftFileLock, Timeout

from mmduet.errors import FileError
from mmduet.files.disk import make_folder, remove, writing_only
from mmduet.files.names import bounded

POLL = 3.0  # s between two looks at whether the lock's process still runs
UNSTATED = 2.0  # s after which a lock that names no process is abandoned
ADDED = 70  # bytes that the longest name of a lock adds


@contextmanager
def locked(path: str | Path, *, patience: float = math.inf) -> Iterator[None]:
    """Let one process at a time, and one thread of it, into the block.

    Args:
        path: The file or folder that the lock protects.
        patience: How long to wait for the lock, s.

    Raises:
        FileError: Another process holds the lock. The message names it.
    """
    make_folder(Path(path).parent)
    with writing_only(path):
        lock = acquire(Path(path), patience)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def in_turn(path: str | Path) -> Iterator[None]:
    """As `locked`, for work that whoever holds the lock may be doing already. Prints whom it waits for.

    The lock is beside that of the file itself, which writers inside the block take.
    """
    turn = Path(path).with_name(f"{Path(path).name}.turn")
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(turn, patience=0))
        except FileError as error:
            print(f"{path} is another run's turn; this one waits and takes what is there then ({error})")
            stack.enter_context(locked(turn))
        yield


def claim(path: str | Path) -> bool:
    """Make an empty file that only one process can make; whether this process made it.

    Raises:
        FileError: The file cannot be written.
    """
    make_folder(Path(path).parent)
    with writing_only(path):
        try:
            Path(path).touch(exist_ok=False)
        except FileExistsError:
            return False
    return True


def forget_lock(path: Path) -> None:
    """Remove the lock of a killed process, also where nothing is left to write."""
    if _lock_of(path).exists():
        with suppress(FileError):  # its process still runs
            acquire(path, patience=0).release()


def acquire(path: Path, patience: float) -> SoftFileLock:
    """Acquire the lock of a file, as `locked` does."""
    lock = SoftFileLock(_lock_of(path))
    until = time.monotonic() + patience
    while True:
        _forget_unstated(Path(lock.lock_file))
        left = until - time.monotonic()
        try:
            lock.acquire(timeout=min(POLL, max(0.0, left)))
        except Timeout:
            if left < -POLL or (left <= 0 and lock.pid is not None):  # a new lock names no process yet
                break
        else:
            _forget_breaks(Path(lock.lock_file))
            return lock
    raise FileError(
        f"{path} is being written by process {lock.pid}{_elsewhere(Path(lock.lock_file))}: wait until it is done, or "
        "give another output."
    )


def _elsewhere(lock: Path) -> str:
    """Where the lock's process runs, if on another machine: whether it still does cannot be seen from here."""
    try:
        machine = "".join(lock.read_text(encoding="utf-8").splitlines()[1:2])
    except (OSError, UnicodeDecodeError):
        return ""
    if not machine.isprintable() or machine in ("", socket.gethostname()):
        return ""
    return f" on {machine[:60]} (if that machine is lost, delete {lock})"


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{bounded(path.name, added=ADDED)}.lock")


def _forget_unstated(lock: Path) -> None:
    """Remove a lock whose process was killed before it could write its number."""
    with suppress(FileNotFoundError):
        if lock.stat().st_size == 0 and time.time() - lock.stat().st_mtime > UNSTATED:
            remove(lock)


def _forget_breaks(lock: Path) -> None:
    """Remove what processes left that were killed while they took over the lock of a killed process."""
    pattern = re.compile(rf"{re.escape(lock.name)}\.(?:break|restore)\.(\d+)\.[0-9a-f]+")
    for path in lock.parent.iterdir():
        match = pattern.fullmatch(path.name)
        if match and not psutil.pid_exists(int(match[1])):
            remove(path)
