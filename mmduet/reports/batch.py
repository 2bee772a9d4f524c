"""Batches: a suite run from end to end into a folder of reports with an index."""

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat

from mmduet.errors import FileError, SuiteError
from mmduet.files import clean, locked
from mmduet.reports.board import Board
from mmduet.reports.export import TEMPLATES, page_hash
from mmduet.reports.index import write_index
from mmduet.reports.log import Logs
from mmduet.reports.notebooks import read_notebook
from mmduet.reports.parameters import check_parameters
from mmduet.reports.plan import Progress, Step, in_order, make_plan
from mmduet.reports.pool import Advanced, Broken, Ended, Event, Noted, Pool, Queued, Started, ThisProcess
from mmduet.reports.publication import LOCK, forget_logs, publish, write_report
from mmduet.reports.records import RunRecord, format_duration
from mmduet.reports.slots import Slot, check_reports
from mmduet.reports.suite import Run, Suite, filled, load_suite
from mmduet.reports.worker import Job, failure, written

SHOW_EVERY = 5.0  # s between two progress lines


@dataclass(frozen=True)
class Outcome:
    """The result of one run. `page` is its report.

    `status` is done, failed, unchanged, or waiting where a run that it comes after is not done.
    """

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


def run_suite(
    path: Path | str,
    *,
    output: Path | str | None = None,
    force: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    cluster: Path | str | None = None,
) -> SuiteResult:
    """Run a suite, and print its progress.

    All parameters, the order and the resources are checked before anything runs. A failed run does not stop the others,
    and leaves the report of its last success in place. A report that a newer one replaces is kept in the folder's
    history/. Without `workers`, `scheduler` and `cluster` this process runs one notebook after the other.

    Args:
        path: The suite.
        output: The folder of the reports; None: reports/out/NAME under the project's root.
        force: Run also what is done and unchanged.
        workers: Run on so many workers of this machine.
        scheduler: Run on the workers of the Dask scheduler at this address.
        cluster: Run on the jobs that this cluster file asks for.

    Raises:
        SuiteError: The suite, a notebook, a parameter or the cluster is wrong.
        FileError: The folder holds other files under the names of the reports, another process writes it, or a report
            cannot be written.
        SchedulerLost: The scheduler ended.
    """
    suite, folder, runs = check_suite(path, output=output)
    steps = make_plan(suite, folder, runs, force=force)
    check_reports(folder, [run.name for run in runs])
    with locked(folder / LOCK, patience=0):
        forget_logs(folder)
        batch = _Batch(suite, folder, steps)
        with _pool(batch, workers=workers, scheduler=scheduler, cluster=cluster) as pool:
            batch.carry_out(pool)
        clean(folder, again=True)  # of workers that were killed
        forget_logs(folder)
        result = SuiteResult(batch.write_index(), batch.outcomes)
    print(f"{_summary(result)}: {result.index}", flush=True)
    return result


def _pool(batch: "_Batch", *, workers: int | None, scheduler: str | None, cluster: Path | str | None) -> Pool:
    """The pool that the arguments ask for."""
    given = [name for name, value in (("workers", workers), ("scheduler", scheduler), ("cluster", cluster)) if value]
    if len(given) > 1:
        raise SuiteError(f"{' and '.join(given)} exclude each other: give one of them")
    if not given:
        return ThisProcess(batch.advance)
    from mmduet.reports import scheduler as schedulers  # imports Dask, which is an extra

    opened = schedulers.start_local(workers) if workers else (
        schedulers.connect(scheduler) if scheduler else schedulers.start_from_file(str(cluster))
    )  # fmt: skip
    print(f"Dask's dashboard: {opened.dashboard}", flush=True)
    return opened


class _Batch:
    """A plan that is carried out: its runs go to a pool, and their reports into the folder."""

    def __init__(self, suite: Suite, folder: Path, steps: list[Step]):
        self._suite, self._folder, self._steps = suite, folder, steps
        self._by_name = {step.run.name: step for step in steps}
        self._progress, self._outcomes = Progress(steps), dict[str, Outcome]()
        self._board, self._logs = Board([step for step in steps if not step.record], 1), Logs(folder)
        self._lost_tries: dict[str, str] = {}
        self._last_shown = time.monotonic()

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes in the plan's order."""
        return tuple(self._outcomes[step.run.name] for step in self._steps)

    def carry_out(self, pool: Pool) -> None:
        """Run what is not done, and write the index whenever something changes."""
        pool.check([self._job(step) for step in self._steps if not step.record])
        self._board.parallel = pool.parallel
        try:
            for step in self._steps:
                if step.record:
                    self._skip(step, step.record)
            self.write_index()
            self._make_the_rest(pool)
        except BaseException:
            self._stop()
            raise

    def _make_the_rest(self, pool: Pool) -> None:
        while not self._progress.is_over:
            for step in self._progress.ready():
                pool.submit(self._job(step))
            for event in pool.events():
                self._note(event)
            self._block()
            self._show(pool)

    def advance(self, event: Advanced) -> None:
        """Note how far a run is."""
        self._board.advance(event)
        self._logs.add(event.name, event.log)
        if time.monotonic() - self._last_shown > SHOW_EVERY:
            self._last_shown = time.monotonic()
            self.write_index()

    def write_index(self) -> Path:
        """Write the index as things are now."""
        return write_index(
            self._suite, self._folder, TEMPLATES, _command(self._suite), self._board.live, self._board.left
        )

    def _stop(self) -> None:
        """Leave an index in which nothing runs, however the batch ended."""
        self._board.stop()
        with suppress(FileError):  # what ended the batch is reported, such as a full disk
            self._logs.write(now=True)
            self.write_index()

    def _show(self, pool: Pool) -> None:
        """Write logs and index, and print the progress, from time to time."""
        self._logs.write()
        if time.monotonic() - self._last_shown > SHOW_EVERY:
            self._last_shown = time.monotonic()
            self._board.parallel = pool.parallel
            self.write_index()
            print(self._board.line, flush=True)

    def _note(self, event: Event) -> None:
        match event:
            case Started():
                self._board.start(event)
                run = self._by_name[event.name].run
                words = [f"at {event.place}"] * bool(event.place) + [f"try {event.attempt}"] * (event.attempt > 1)
                where = f" ({', '.join(words)})" if words else ""
                if event.place:
                    self._logs.note(event.name, f"started{where}")
                print(f"{self._place(event.name)}: {run.notebook}{where}", flush=True)
            case Advanced():
                self.advance(event)
            case Queued():
                self._board.wait(event.name)
                self._logs.note(event.name, event.reason)
                self._lost_tries[event.name] = self._logs.text(event.name)
                print(f"{self._place(event.name)}: {event.reason}", flush=True)
            case Broken():
                self._logs.note(event.name, event.error)
                job = self._job(self._by_name[event.name])
                self._end(Ended(event.name, failure(job, event.error, self._logs.end(event.name))))
            case Ended():
                self._end(event)
            case Noted():
                print(event.text, flush=True)
        if not isinstance(event, Advanced):
            self.write_index()

    def _end(self, event: Ended) -> None:
        """Write a run's report."""
        self._logs.end(event.name)
        report = event.report
        if report.log and (earlier := self._lost_tries.pop(event.name, "")):
            report = replace(report, log=earlier + report.log)
        slot = publish(report, self._folder)
        record = report.record
        outcome = Outcome(event.name, record.status, record.seconds, record.error, slot.page)
        self._conclude(outcome)

    def _skip(self, step: Step, record: RunRecord) -> None:
        """Leave an unchanged run's report, but write its page again where the template or the title has changed."""
        slot = Slot(self._folder, step.run.name)
        if record.page != (page := page_hash(self._suite.title)):
            current = record.model_copy(update={"page": page, "suite": self._suite.title})
            write_report(slot, written(current, read_notebook(slot.notebook), ""))
        Slot(self._folder, f"{step.run.name}.failed").remove()
        self._conclude(Outcome(step.run.name, "unchanged", record.seconds, "", slot.page))

    def _block(self) -> None:
        """End the runs that need one that failed."""
        while blocked := self._progress.blocked():
            for step, failed in blocked:
                page = Slot(self._folder, step.run.name).page
                self._conclude(Outcome(step.run.name, "waiting", 0.0, f"{failed} is not done", page))

    def _conclude(self, outcome: Outcome) -> None:
        self._outcomes[outcome.name] = outcome
        if outcome.status != "waiting":
            self._progress.end(outcome.name, good=outcome.status != "failed")
        match outcome.status:
            case "waiting":
                self._board.block(outcome.name, f"because {outcome.error}")
            case "done" | "failed":
                self._board.end(outcome.name, outcome.seconds, failed=outcome.status == "failed")
        print(f"{self._place(outcome.name)}: {_sentence(outcome)}", flush=True)

    def _place(self, name: str) -> str:
        return f"[{self._by_name[name].number}/{len(self._steps)}] {name}"

    def _job(self, step: Step) -> Job:
        run = step.run
        return Job(
            name=run.name,
            number=step.number,
            suite=self._suite.title,
            root=self._suite.root,
            notebook=run.notebook,
            source=nbformat.writes(step.source),
            parameters=run.parameters,
            defaults=run.defaults,
            cell_timeout=run.cell_timeout,
            folder=self._folder,
            fingerprint=step.fingerprint,
            resources=run.resources,
            needs=run.needs,
        )


def check_suite(path: Path | str, *, output: Path | str | None = None) -> tuple[Suite, Path, list[Run]]:
    """Check a suite without running it.

    Args:
        path: The suite.
        output: As for `run_suite`.

    Returns:
        The suite, the folder of its reports, and its runs with complete parameters, which the notebooks accept, in the
        order in which they run.

    Raises:
        SuiteError: The suite, a notebook, a parameter or the order is wrong.
    """
    suite = load_suite(path)
    folder = Path(output).resolve() if output else suite.root / "reports" / "out" / suite.name
    checked = tuple(replace(run, defaults=_defaults(run, suite)) for run in suite.runs)
    runs = [filled(run, suite, folder) for run in checked]
    return replace(suite, runs=checked), folder, in_order(runs, suite.path)


def _defaults(run: Run, suite: Suite) -> dict[str, Any]:
    """The defaults that the run's notebook declares; SuiteError where it does not accept the run's parameters."""
    try:
        declared = check_parameters(suite.root / run.notebook, run.parameters)
    except SuiteError as error:
        raise SuiteError(f"{suite.path}, run {run.name}: {error}") from error
    return {name: parameter.default for name, parameter in declared.items()}


def _command(suite: Suite) -> str:
    path = suite.path.resolve()
    return f"mmduet report {path.relative_to(suite.root) if path.is_relative_to(suite.root) else path}"


def _sentence(outcome: Outcome) -> str:
    match outcome.status:
        case "unchanged":
            return f"unchanged since it was done, skipped ({outcome.page.name})"
        case "failed":
            return f"failed after {format_duration(outcome.seconds)}, {outcome.error} ({outcome.page.name})"
        case "waiting":
            return f"not run, because {outcome.error}"
    return f"done in {format_duration(outcome.seconds)} ({outcome.page.name})"


def _summary(result: SuiteResult) -> str:
    count = len(result.outcomes)
    if result.failed:
        waiting = sum(outcome.status == "waiting" for outcome in result.outcomes)
        after = f", and {waiting} that come after them did not run" if waiting else ""
        return f"{len(result.failed)} of {count} runs failed ({', '.join(result.failed)}){after}"
    return f"all {count} runs are done" if count > 1 else "the run is done"
