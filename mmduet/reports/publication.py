"""Publication: a report's files and log written to the folder, also from a machine that does not share it."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import gettempdir
from typing import Any

from mmduet.errors import DuetError
from mmduet.files import inside, is_temporary, remove, scratch_folder, write_files
from mmduet.reports.slots import HISTORY, Slot, reports_in
from mmduet.reports.worker import LOGS, Job, Report

MAX_SENT = 2_000_000_000  # bytes of an `{output}` folder that is sent through the scheduler
LOCK = "report"  # the name that the lock of a folder of reports carries


def publish(report: Report, folder: Path) -> Slot:
    """Write a report: its notebook, page and record, its log, and files that were sent. Returns the slot.

    A good report that it replaces is copied to the history first.

    Raises:
        FileError: A file cannot be written.
    """
    name = report.record.run
    good, failed = Slot(folder, name), Slot(folder, f"{name}.failed")
    slot = failed if report.record.error else good
    if report.files:
        write_files({_below(folder, path): content for path, content in report.files.items()})
    if slot is good:
        good.keep()
    if report.record.log:
        write_files({folder / report.record.log: report.log})
    write_report(slot, report)
    if slot is good:
        failed.remove()
    return slot


def write_report(slot: Slot, report: Report) -> None:
    """Write the three files of a report."""
    contents = {
        slot.notebook: report.notebook,
        slot.page: report.page,
        slot.json: report.record.model_dump_json(indent=1),
    }
    # a process killed between two renames leaves a new report without a page, or an old report of the history
    order = (slot.notebook, slot.page, slot.json) if slot.page.exists() else (slot.json, slot.notebook, slot.page)
    write_files({path: contents[path] for path in order})


def forget_logs(folder: Path) -> None:
    """Remove the logs that no report links."""
    for place in (folder, folder / HISTORY):
        linked = {record.log for slot in reports_in(place) if (record := slot.record())}
        for path in (place / LOGS).glob("*.log"):
            if f"{LOGS}/{path.name}" not in linked:
                remove(path)
        if (place / LOGS).is_dir() and not any((place / LOGS).iterdir()):
            remove(place / LOGS)


# machines that share no folder


@contextmanager
def placed(job: Job, mark: str, inputs: Mapping[str, bytes]) -> Iterator[tuple[Job, Callable[[], dict[str, bytes]]]]:
    """Give the block the run with the folders of this machine, and a function that packs the files to send back.

    Args:
        job: The run.
        mark: The content of the lock of the folder of reports. A folder with another lock, or none, is not shared.
        inputs: Files of the runs that this one needs, by their paths below the folder of reports.

    Raises:
        FileError: A folder cannot be made.
    """
    if is_shared(job.folder, mark):
        yield job, dict
        return
    with scratch_folder(Path(gettempdir())) as scratch:
        here = _moved(job, scratch)
        write_files({_below(here.folder, path): content for path, content in inputs.items()})
        yield here, lambda: pack(here.folder, [job.name])


def is_shared(folder: Path, mark: str) -> bool:
    """Whether this machine sees the folder whose lock has this content."""
    return bool(mark) and read_mark(folder) == mark


def read_mark(folder: Path) -> str:
    """The content of the lock of a folder of reports, which differs from process to process."""
    try:
        return (folder / f".{LOCK}.lock").read_text(encoding="utf-8")
    except OSError:
        return ""


def pack(folder: Path, names: list[str]) -> dict[str, bytes]:
    """The files in the `{output}` folders of runs, by their paths below the folder of reports.

    Raises:
        DuetError: They are too large to be sent.
    """
    paths = [
        Path(place) / name
        for run in names
        for place, _, files in os.walk(folder / run)
        for name in files
        if not is_temporary(name)
    ]
    if (size := sum(path.stat().st_size for path in paths)) > MAX_SENT:
        raise DuetError(
            f"the files of {', '.join(names)} have {size / 1e9:.1f} GB; at most {MAX_SENT / 1e9:.0f} GB are sent "
            "through the scheduler: give an --output folder that the workers share."
        )
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(paths)}


def _moved(job: Job, scratch: Path) -> Job:
    """The run in a temporary folder; in its own root where this machine has the notebook."""
    has_root = (job.root / job.notebook).is_file()
    if not has_root:
        write_files({scratch / job.notebook: job.source})
    root = job.root if has_root else scratch
    below = job.folder.is_relative_to(job.root)
    old = (job.folder.relative_to(job.root) if below else job.folder).as_posix()
    folder = scratch / "reports-of-this-run"
    return replace(job, root=root, folder=folder, parameters=_replaced(dict(job.parameters), old, folder.as_posix()))


def _replaced(value: Any, old: str, new: str) -> Any:
    """A JSON value in whose texts the path `old` is replaced by `new`."""
    match value:
        case str():
            return value.replace(f"{old}/", f"{new}/")
        case list():
            return [_replaced(item, old, new) for item in value]
        case dict():
            return {key: _replaced(item, old, new) for key, item in value.items()}
    return value


def _below(folder: Path, name: str) -> Path:
    """The path of a file that was sent, which lies in the folder."""
    path = inside(folder, PurePosixPath(name).as_posix())
    if path is None:
        raise DuetError(f"a worker sent the file {name!r}, which leads out of {folder}: do not use this worker.")
    return path
