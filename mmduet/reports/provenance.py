"""What made a run: versions, commit, machine, and the fingerprint that tells whether it must run again."""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shlex
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import yaml
from pydantic import BaseModel

PACKAGES = ("mmduet", "torch", "transformers", "peft", "decord", "plotly", "papermill")
SOURCES = {".py", ".js", ".css"}


class Provenance(BaseModel):
    """The circumstances of a run, as its report's footer tells them."""

    versions: dict[str, str]
    commit: str
    decoder: str
    device: str
    system: str
    command: str


def gather(root: Path, notebook: str, parameters: Mapping[str, Any]) -> Provenance:
    """Look at this process's packages and machine, and at the git checkout `root`."""
    versions = package_versions()
    return Provenance(
        versions=versions,
        commit=git_commit(root),
        decoder=f"decord {versions['decord']}",
        device=device(),
        system=platform.platform(),
        command=papermill_command(notebook, parameters),
    )


def fingerprint(notebook: nbformat.NotebookNode, parameters: Mapping[str, Any]) -> str:
    """A hash over all that decides a run: its cells, parameters, the packages' source and versions."""
    cells = [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]
    decisive = [cells, dict(parameters), source_hash(), package_versions()]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def source_hash() -> str:
    """A hash over the source files of mmduet and, where it is installed, of its widgets."""
    specs = [importlib.util.find_spec(name) for name in ("mmduet", "mmduet_widgets")]
    folders = [Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ()]
    return files_hash(path for folder in folders for path in folder.rglob("*") if path.suffix in SOURCES)


def files_hash(paths: Any) -> str:
    """A hash over the names and bytes of files."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def package_versions() -> dict[str, str]:
    """The versions of Python and of the packages that matter; "not installed" where one is missing."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def git_commit(folder: Path) -> str:
    """The commit checked out in `folder`, with "+ changes" where tracked files differ."""
    commit = _git(folder, "rev-parse", "--short=12", "HEAD")
    if not commit:
        return "no git commit"
    return f"{commit} + changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else commit


@cache
def device() -> str:
    """The accelerator that torch sees, else the processor, with the number of CPU cores to use."""
    try:
        import torch  # heavy, and only a run that executes needs it
    except ImportError:
        return _processor()
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda}); {_processor()}"
    return f"no GPU; {_processor()}"


def papermill_command(notebook: str, parameters: Mapping[str, Any]) -> str:
    """The command line that repeats the run, from the project's root."""
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


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _processor() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor_name()}, {cores} cores"


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
