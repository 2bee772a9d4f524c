"""Worker: one run, from its notebook to a report that is ready to be written.

It knows no suite, and writes only the files that the notebook itself writes. This process performs it, or a worker of a
cluster.
"""

import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat

from mmduet.files import make_folder, remove, scratch_folder
from mmduet.reports.credentials import without_credentials
from mmduet.reports.execution import Execution, Stream, execute
from mmduet.reports.export import export_html, page_hash
from mmduet.reports.metrics import recorded_metrics
from mmduet.reports.prose import take_title
from mmduet.reports.records import RunRecord, gather
from mmduet.reports.resources import NOTHING, Resources
from mmduet.reports.thumbnails import recorded_thumbnail

LOGS = "logs"  # the folder of the logs, in that of the reports


@dataclass(frozen=True)
class Job:
    """All that a worker needs to perform one run.

    Attributes:
        name: The run's name.
        number: Its place in the plan.
        suite: The suite's title.
        root: Where the notebook runs.
        notebook: The notebook, relative to the root.
        source: The notebook's content, as JSON.
        parameters: Values by name.
        defaults: The values that the notebook declares.
        cell_timeout: Maximum time of a cell, s; None for no limit.
        folder: The folder of the reports.
        fingerprint: A hash of all that decides the run.
        resources: What the run needs.
        needs: The runs whose `{output}` folders this one may read.
    """

    name: str
    number: int
    suite: str
    root: Path
    notebook: str
    source: str
    parameters: Mapping[str, Any]
    defaults: Mapping[str, Any]
    cell_timeout: int | None
    folder: Path
    fingerprint: str
    resources: Resources = NOTHING
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """A report that is ready to be written. `files` are those of the `{output}` folder where it has to be sent."""

    record: RunRecord
    notebook: str
    page: str
    log: str
    files: Mapping[str, bytes] = field(default_factory=dict)


def perform(
    job: Job,
    *,
    log: Stream | None = None,
    progress: Callable[[int, int], None] | None = None,
    reason: Callable[[], str] = str,
    place: Job | None = None,
) -> Report:
    """Run the notebook, and make its report.

    Args:
        job: The run.
        log: Gets what cells print, at once; None: stderr.
        progress: Is called before each cell with its number, from 0, and the number of cells.
        reason: Why the kernel was ended from outside, if it was; the run then has failed for that reason.
        place: The same run with the folders and parameters of this machine, where they differ.

    Raises:
        SuiteError: There is no kernel.
        FileError: A file cannot be written.
    """
    here = place or job
    own = here.folder / job.name  # its `{output}`
    copied = _Copy(log or sys.stderr)
    make_folder(own)
    try:
        with scratch_folder(here.folder) as scratch:
            execution = execute(
                here.root / job.notebook,
                scratch / "run.ipynb",
                here.parameters,
                folder=here.root,
                cell_timeout=job.cell_timeout,
                log=copied,
                progress=progress,
            )
    finally:
        if own.is_dir() and not any(own.iterdir()):
            remove(own)
    if ended := reason():
        execution = replace(execution, error=ended)
    return make_report(job, execution, copied.text)


def make_report(job: Job, execution: Execution, log: str) -> Report:
    """Make the report of an executed notebook, with masked credentials."""
    given = [dict(job.defaults), dict(job.parameters)]
    defaults, parameters = without_credentials(given)
    notebook, error, log = (without_credentials(value, given) for value in (execution.notebook, execution.error, log))
    record = RunRecord(
        suite=job.suite,
        run=job.name,
        title=take_title(nbformat.reads(job.source, as_version=4)) or Path(job.notebook).stem,
        notebook=job.notebook,
        parameters=parameters,
        defaults=defaults,
        status="failed" if error else "done",
        error=error,
        started=execution.started,
        seconds=execution.seconds,
        metrics=recorded_metrics(notebook),
        thumbnail=recorded_thumbnail(notebook),
        provenance=gather(job.root, job.notebook, parameters),
        fingerprint=job.fingerprint,
        page=page_hash(job.suite),
        log=f"{LOGS}/{job.name}.{execution.started.astimezone(UTC):%Y%m%d-%H%M%S-%f}.log" if log else "",
    )
    return written(record, notebook, log)


def written(record: RunRecord, notebook: nbformat.NotebookNode, log: str) -> Report:
    """The report of a record and its notebook."""
    notebook.metadata["mmduet"] = record.model_dump(mode="json")
    return Report(record, nbformat.writes(notebook), export_html(notebook), log)


def failure(job: Job, error: str, log: str) -> Report:
    """The report of a run that left no executed notebook, because its worker ended."""
    notebook = nbformat.reads(job.source, as_version=4)
    return make_report(job, Execution(notebook, error, datetime.now(UTC), 0.0), log)


class _Copy(io.TextIOBase):
    """A stream that keeps a copy of the text that is written to it, the last LIMIT characters."""

    LIMIT = 2_000_000

    def __init__(self, stream: Stream):
        self._stream, self._pieces = stream, [""]

    def write(self, text: str) -> int:
        self._pieces.append(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    @property
    def text(self) -> str:
        """The copy."""
        return "".join(self._pieces)[-self.LIMIT :]
