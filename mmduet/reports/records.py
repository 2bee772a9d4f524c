"""Records: what ran, when, how, on which machine and with which result; the JSON file of each report."""

import hashlib
import importlib.metadata
import importlib.util
import json
import platform
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import nbformat
import yaml
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from mmduet.reports.metrics import Metric
from mmduet.reports.parameters import without_infinities
from mmduet.reports.thumbnails import Thumbnail
from mmduet.system.machine import machine
from mmduet.system.packages import package_versions

SOURCES = {".py", ".js", ".css", ".safetensors"}  # code, and the shipped weights


class Provenance(BaseModel):
    """The circumstances of a run, for its report's footer."""

    versions: dict[str, str]
    commit: str
    decoder: str
    device: str
    system: str
    command: str


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("it lies outside the years 1 to 9999 in UTC") from None


Values = Annotated[dict[str, Any], AfterValidator(without_infinities)]


class RunRecord(BaseModel):
    """One execution of a run.

    `parameters` were given, `defaults` are those of the notebook. Both have infinities and NaN as texts.
    `fingerprint` is a hash of all that decides the run, `page` a hash of all that decides its page. `log` is the log's
    path, relative to the page's folder.
    """

    suite: str
    run: str
    title: str
    notebook: str
    parameters: Values
    defaults: Values = {}
    status: Literal["done", "failed"]
    error: str = ""
    started: Annotated[AwareDatetime, AfterValidator(_in_utc)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    metrics: list[Metric]
    thumbnail: Thumbnail | None = None
    provenance: Provenance
    fingerprint: str
    page: str
    log: str = ""

    @property
    def when(self) -> str:
        """The start of the run: `2026-03-01 14:05 UTC`."""
        return self.started.strftime("%Y-%m-%d %H:%M UTC")

    @property
    def duration(self) -> str:
        """The duration of the run, for reading."""
        return format_duration(self.seconds)


def gather(root: Path, notebook: str, parameters: Mapping[str, Any]) -> Provenance:
    """Collect the versions of packages, the machine, and the commit of the git checkout `root`."""
    versions = package_versions()
    return Provenance(
        versions=versions,
        commit=git_commit(root),
        decoder=f"decord {versions['decord']}, PyAV {versions['av']}",
        device=machine(),
        system=platform.platform(),
        command=papermill_command(notebook, parameters),
    )


def fingerprint(notebook: nbformat.NotebookNode, parameters: Mapping[str, Any]) -> str:
    """Hash all that decides a run: its cells and parameters, the packages' source and versions."""
    cells = [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]
    decisive = [cells, dict(parameters), source_hash(), package_versions()]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def source_hash() -> str:
    """Hash the source files of mmduet and, where they are installed, of its widgets."""
    specs = [importlib.util.find_spec(name) for name in ("mmduet", "mmduet_widgets")]
    folders = [Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ()]
    return files_hash(path for folder in folders for path in folder.rglob("*") if path.suffix in SOURCES)


def files_hash(paths: Iterable[Path]) -> str:
    """Hash the names and bytes of files."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def git_commit(folder: Path) -> str:
    """Return the commit that is checked out in `folder`, with "+ changes" where tracked files differ."""
    commit = _git(folder, "rev-parse", "--short=12", "HEAD")
    if not commit:
        return "no git commit"
    return f"{commit} + changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else commit


def papermill_command(notebook: str, parameters: Mapping[str, Any]) -> str:
    """Write the command line that repeats the run, in the project's root."""
    words = ["papermill", notebook, f"{Path(notebook).stem}.out.ipynb"]
    for name, value in parameters.items():
        match value:
            case str():
                words += ["-r", name, value]
            case list() | dict():
                words += ["-y", yaml.safe_dump({name: value}, default_flow_style=True, width=10_000).strip()]
            case _:
                words += ["-p", name, str(value)]
    return shlex.join(words)


def format_duration(seconds: float) -> str:
    """Format a duration: `8.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
