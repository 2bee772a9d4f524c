"""The doctor: checks of this environment, and repairs."""

import importlib.metadata as metadata
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from mmduet.errors import DuetError

DISTRIBUTION = "mmduet-workbench"
MEMORY, DISK = 1.5e9, 0.7e9  # bytes that mini takes while it watches, and its built model
# PyPI's decord wheel is for any Python 3 by its file name; the metadata inside still says Python 3.6,
# which `pip check` of pip >= 24.2 believes
DECORD_STALE_TAG = re.compile(r"^Tag: cp36-cp36m-", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    good: bool
    text: str


def examine(*, fix: bool = False) -> Iterator[Finding]:
    """Run one check after the other.

    Args:
        fix: Repair decord's metadata, and build the mini model.
    """
    yield Finding(sys.version_info >= (3, 11), f"Python {sys.version.split()[0]} (3.11 or later)")
    yield from _machine()
    yield from _requirements()
    yield _guarded(lambda: _decord(fix))
    yield _guarded(lambda: _mini(fix))


def _machine() -> Iterator[Finding]:
    """GPU and cores, memory, disk."""
    import psutil

    from mmduet.checkpoints.presets import mini_folder
    from mmduet.system.machine import machine

    memory, folder = psutil.virtual_memory(), mini_folder()
    free = shutil.disk_usage(next(parent for parent in folder.parents if parent.is_dir())).free
    amounts = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB of memory are free"
    yield _guarded(lambda: Finding(True, machine()))
    yield Finding(memory.available >= MEMORY, f"{amounts} (mini takes {MEMORY / 1e9:.1f})")
    yield Finding(free >= DISK, f"{free / 1e9:.1f} GB are free in {folder.parent} (mini takes {DISK / 1e9:.1f})")


def _guarded(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except (DuetError, OSError, ImportError) as error:
        return Finding(False, str(error))


def _requirements() -> Iterator[Finding]:
    """Every pinned package, at its pinned version."""
    for line in metadata.requires(DISTRIBUTION) or []:
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            if wanted.name == "decord":
                continue  # PyAV replaces it
            yield Finding(False, f"{wanted} is not installed: run pip install {DISTRIBUTION}, or make setup.")
            continue
        good = wanted.specifier.contains(found, prereleases=True)
        yield Finding(good, f"{wanted.name} {found}" + ("" if good else f": {wanted.specifier} is required"))


def _decord(fix: bool) -> Finding:
    try:
        import decord  # noqa: F401  (that it loads is the check)
    except ImportError:
        return Finding(True, "PyAV decodes all videos: decord is not installed")
    distribution = metadata.distribution("decord")
    path = Path(str(distribution.locate_file(f"decord-{distribution.version}.dist-info/WHEEL")))
    text = path.read_text()
    if not DECORD_STALE_TAG.search(text):
        return Finding(True, "decord decodes the videos that it reads right, PyAV the others")
    if not fix:
        return Finding(True, "decord loads (newer `pip check` misreads its metadata: mmduet doctor --fix)")
    path.write_text(DECORD_STALE_TAG.sub("Tag: py3-none-", text))
    return Finding(True, "decord loads; its wheel metadata now names the Pythons it is for")


def _mini(fix: bool) -> Finding:
    from mmduet.checkpoints import load_duet
    from mmduet.checkpoints.presets import mini_folder

    if not fix and not mini_folder().is_dir():
        return Finding(True, "mini is not built yet: its first use builds it, or mmduet doctor --fix")
    model, _ = load_duet("mini")
    return Finding(True, f"mini loads: {model.num_parameters() / 1e6:.0f} million parameters")
