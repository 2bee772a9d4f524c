"""Batches: a suite run from end to end into a folder of reports with an index."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat

from mmduet.errors import SuiteError
from mmduet.files import make_folder, scratch_folder, write_files
from mmduet.reports.credentials import without_credentials
from mmduet.reports.execution import Execution, execute
from mmduet.reports.export import TEMPLATES, export_html, page_hash
from mmduet.reports.index import write_index
from mmduet.reports.metrics import recorded_metrics
from mmduet.reports.notebooks import read_notebook
from mmduet.reports.parameters import check_parameters
from mmduet.reports.prose import take_title
from mmduet.reports.records import RunRecord, fingerprint, format_duration, gather
from mmduet.reports.slots import Slot, check_reports
from mmduet.reports.suite import Run, Suite, fill_output, load_suite
from mmduet.reports.thumbnails import recorded_thumbnail


@dataclass(frozen=True)
class Outcome:
    """The result of one run. `status` is done, failed or unchanged; `page` is its report."""

    name: str
    status: str
    seconds: float
    error: str
    page: Path


@dataclass(frozen=True)
class SuiteResult:
    """The outcomes of a suite's runs, and its index."""

    index: Path
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> list[str]:
        """The names of the runs that failed."""
        return [outcome.name for outcome in self.outcomes if outcome.status == "failed"]


def run_suite(path: Path | str, *, output: Path | str | None = None, force: bool = False) -> SuiteResult:
    """Run a suite, and print its progress.

    All parameters are checked before anything runs. A failed run does not stop the others, and leaves the report of its
    last success in place. A report that a newer one replaces is kept in the folder's history/.

    Args:
        path: The suite.
        output: The folder of the reports; None: reports/out/NAME under the project's root.
        force: Run also what is done and unchanged.

    Raises:
        SuiteError: The suite, a notebook or a parameter is wrong.
        FileError: The folder holds other files under the names of the reports, or a report cannot be written.
    """
    suite, folder, runs = check_suite(path, output=output)
    check_reports(folder, [run.name for run in runs])
    outcomes = []
    for number, run in enumerate(runs, 1):
        print(f"[{number}/{len(runs)}] {run.name}: {run.notebook}", flush=True)
        outcomes.append(_outcome(run, suite, folder, force))
        index = write_index(suite, folder, TEMPLATES, _command(suite))
        print(f"[{number}/{len(runs)}] {run.name}: {_sentence(outcomes[-1])}", flush=True)
    result = SuiteResult(index, tuple(outcomes))
    print(f"{_summary(result)}: {index}", flush=True)
    return result


def check_suite(path: Path | str, *, output: Path | str | None = None) -> tuple[Suite, Path, list[Run]]:
    """Check a suite without running it.

    Args:
        path: The suite.
        output: As for `run_suite`.

    Returns:
        The suite, the folder of its reports, and its runs with complete parameters, which the notebooks accept.

    Raises:
        SuiteError: The suite, a notebook or a parameter is wrong.
    """
    suite = load_suite(path)
    folder = Path(output).resolve() if output else suite.root / "reports" / "out" / suite.name
    checked = tuple(replace(run, defaults=_defaults(run, suite)) for run in suite.runs)
    runs = [_filled(run, suite.root, folder) for run in checked]
    return replace(suite, runs=checked), folder, runs


def _filled(run: Run, root: Path, folder: Path) -> Run:
    """The run with `{output}` replaced by its own folder, relative to the root where it lies below the root."""
    own = folder / run.name
    shown = own.relative_to(root) if own.is_relative_to(root) else own
    return replace(run, parameters=fill_output(dict(run.parameters), shown.as_posix()))


def _defaults(run: Run, suite: Suite) -> dict[str, Any]:
    """The defaults that the run's notebook declares; SuiteError where it does not accept the run's parameters."""
    try:
        declared = check_parameters(suite.root / run.notebook, run.parameters)
    except SuiteError as error:
        raise SuiteError(f"{suite.path}, run {run.name}: {error}") from error
    return {name: parameter.default for name, parameter in declared.items()}


def _outcome(run: Run, suite: Suite, folder: Path, force: bool) -> Outcome:
    good, failed = Slot(folder, run.name), Slot(folder, f"{run.name}.failed")
    source = read_notebook(suite.root / run.notebook)
    decisive, record = fingerprint(source, run.parameters), good.record()
    if record and record.fingerprint == decisive and not force:
        _refresh(good, record, suite)
        failed.remove()
        return Outcome(run.name, "unchanged", record.seconds, "", good.page)
    run, execution = _without_credentials(run, _execute(run, suite, folder))
    record = _record(run, suite, execution, take_title(source), decisive)
    slot = failed if execution.error else good
    if slot is good:
        good.keep()
    _write(slot, record, execution.notebook)
    if slot is good:
        failed.remove()
    return Outcome(run.name, record.status, record.seconds, record.error, slot.page)


def _execute(run: Run, suite: Suite, folder: Path) -> Execution:
    make_folder(folder / run.name)  # its `{output}`
    try:
        with scratch_folder(folder) as scratch:
            return execute(
                suite.root / run.notebook,
                scratch / "run.ipynb",
                run.parameters,
                folder=suite.root,
                cell_timeout=run.cell_timeout,
            )
    finally:
        _remove_empty(folder / run.name)


def _without_credentials(run: Run, execution: Execution) -> tuple[Run, Execution]:
    """Both with masked credentials, as they are stored and shown."""
    given = [dict(run.defaults), dict(run.parameters)]
    defaults, parameters = without_credentials(given)
    notebook, error = (without_credentials(value, given) for value in (execution.notebook, execution.error))
    return replace(run, defaults=defaults, parameters=parameters), replace(execution, notebook=notebook, error=error)


def _record(run: Run, suite: Suite, execution: Execution, title: str, decisive: str) -> RunRecord:
    return RunRecord(
        suite=suite.title,
        run=run.name,
        title=title or Path(run.notebook).stem,
        notebook=run.notebook,
        parameters=dict(run.parameters),
        defaults=dict(run.defaults),
        status="failed" if execution.error else "done",
        error=execution.error,
        started=execution.started,
        seconds=execution.seconds,
        metrics=recorded_metrics(execution.notebook),
        thumbnail=recorded_thumbnail(execution.notebook),
        provenance=gather(suite.root, run.notebook, run.parameters),
        fingerprint=decisive,
        page=page_hash(suite.title),
    )


def _refresh(slot: Slot, record: RunRecord, suite: Suite) -> None:
    """Write an unchanged run's page again where the template or the suite's title has changed."""
    if record.page != (page := page_hash(suite.title)):
        current = record.model_copy(update={"page": page, "suite": suite.title})
        _write(slot, current, read_notebook(slot.notebook))


def _write(slot: Slot, record: RunRecord, notebook: nbformat.NotebookNode) -> None:
    notebook.metadata["mmduet"] = record.model_dump(mode="json")
    contents = {
        slot.notebook: nbformat.writes(notebook),
        slot.page: export_html(notebook),
        slot.json: record.model_dump_json(indent=1),
    }
    # a process killed between two renames leaves a new report without a page, or an old report of the history
    order = (slot.notebook, slot.page, slot.json) if slot.page.exists() else (slot.json, slot.notebook, slot.page)
    write_files({path: contents[path] for path in order})


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _command(suite: Suite) -> str:
    path = suite.path.resolve()
    return f"mmduet report {path.relative_to(suite.root) if path.is_relative_to(suite.root) else path}"


def _sentence(outcome: Outcome) -> str:
    match outcome.status:
        case "unchanged":
            return f"unchanged since it was done, skipped ({outcome.page.name})"
        case "failed":
            return f"failed after {format_duration(outcome.seconds)}, {outcome.error} ({outcome.page.name})"
    return f"done in {format_duration(outcome.seconds)} ({outcome.page.name})"


def _summary(result: SuiteResult) -> str:
    count = len(result.outcomes)
    if result.failed:
        return f"{len(result.failed)} of {count} runs failed ({', '.join(result.failed)})"
    return f"all {count} runs are done" if count > 1 else "the run is done"
