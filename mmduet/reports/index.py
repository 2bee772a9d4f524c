"""Indexes: the pages that compare a suite's runs, and the reports that newer ones replaced."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from mmduet.files import write_files
from mmduet.reports.credentials import without_credentials
from mmduet.reports.metrics import Metric, format_number
from mmduet.reports.parameters import without_infinities
from mmduet.reports.prose import Prose
from mmduet.reports.records import RunRecord, format_duration
from mmduet.reports.slots import HISTORY, Slot, reports_in
from mmduet.reports.suite import Run, Suite, filled

MAX_DRAWN = 180_000  # characters of all thumbnails in one page


@dataclass(frozen=True)
class Live:
    """A run without its report: queued, running or not run, or after a stop stopped or waiting.

    `note` says how far it is, or why it is not run.
    """

    status: str
    note: str = ""
    log: str = ""


@dataclass(frozen=True)
class Row:
    """A report as a page shows it: parameters, numbers and picture of one run.

    Where `record` is that of a failure, `good` is that of the last success. With `live`, `record` is an earlier one.
    """

    label: str
    parameters: Mapping[str, Any]
    record: RunRecord | None
    page: str
    good: RunRecord | None = None
    good_page: str = ""
    earlier: int = 0
    live: Live | None = None

    @property
    def status(self) -> str:
        """Queued, running, stopped or not run, or else done, failed or waiting."""
        return self.live.status if self.live else self.record.status if self.record else "waiting"

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The recorded metrics by name."""
        return {metric.name: metric for metric in self.record.metrics} if self.record else {}


@dataclass(frozen=True)
class Column:
    """One metric of several rows: how its values are written, and their range."""

    name: str
    metrics: list[Metric]

    def text(self, metric: Metric) -> str:
        """Write a value: with the decimals of its interval, or else with those that all values without one share."""
        return metric.text if metric.interval else format_number(metric.value, self._decimals)

    def place(self, number: float) -> str:
        """Return where a number lies in the column's range, in %."""
        low, high = self._range
        return f"{100 * (number - low) / (high - low):.1f}"

    @cached_property
    def drawn(self) -> bool:
        """Whether the rows differ, so that a drawing shows something."""
        low, high = self._range
        return low < high

    @cached_property
    def _decimals(self) -> int:
        alone = [metric for metric in self.metrics if not metric.interval and isinstance(metric.value, float)]
        return min((metric.decimals for metric in alone), default=0)

    @cached_property
    def _range(self) -> tuple[float, float]:
        numbers = [number for metric in self.metrics for number in metric[1:] if number is not None]
        return min(numbers, default=0), max(numbers, default=0)


@dataclass(frozen=True)
class Group:
    """Rows to compare."""

    anchor: str
    title: str
    about: str
    rows: list[Row]

    @cached_property
    def parameters(self) -> list[str]:
        """The names of the parameters in which the rows differ."""
        names = dict.fromkeys(name for row in self.rows for name in row.parameters)
        return [name for name in names if len({repr(row.parameters.get(name, ...)) for row in self.rows}) > 1]

    @cached_property
    def columns(self) -> list[Column]:
        """The metrics of all rows."""
        names = dict.fromkeys(name for row in self.rows for name in row.metrics)
        return [Column(name, [row.metrics[name] for row in self.rows if name in row.metrics]) for name in names]


def write_index(
    suite: Suite, folder: Path, templates: Path, command: str, live: Mapping[str, Live] | None = None, left: str = ""
) -> Path:
    """Write the index of a suite's reports, and that of the replaced reports.

    A run without a report is waiting. Reports of runs that the suite no longer has count as replaced.

    Args:
        suite: The suite.
        folder: The folder of its reports.
        templates: The folder of the page templates.
        command: The command that runs the suite.
        live: The runs that have not ended or will not start, by name. While one is queued or running, the page loads
            itself again every few seconds.
        left: How long they will take, or that they were stopped.

    Returns:
        The path of the index.
    """
    history = _history(suite, folder)
    rows = [replace(_row(run, suite, folder, history), live=(live or {}).get(run.name)) for run in suite.runs]
    page = {
        "suite": suite,
        "command": command,
        "left": left,
        "earlier": sum(len(reports) for reports in history.values()),
    }
    pages = {folder / "index.html": _page(templates, page | _current(suite, rows))}
    if history:
        pages[folder / HISTORY / "index.html"] = _page(templates, page | _past(rows, history))
    write_files(pages)
    return folder / "index.html"


def _page(templates: Path, content: dict[str, Any]) -> str:
    """A page of `groups`. All text is escaped, and an undefined name in the template is an error."""
    rows = [row for group in content["groups"] for row in group.rows]
    records = [row.record for row in rows if row.record]
    return _template(templates).render(
        counts=Counter(row.status for row in rows),
        total=format_duration(sum(record.seconds for record in records)),
        description=Prose().render(content["suite"].description),
        latest=max(records, key=lambda record: record.started, default=None),
        drawings=_drawings(rows),
        style=Markup((templates / "page.css").read_text(encoding="utf-8")),
        **content,
    )


@cache
def _template(templates: Path) -> jinja2.Template:
    """Compiled once: the index is written whenever a run advances."""
    loader = jinja2.FileSystemLoader(templates)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.get_template("suite/index.html.j2")


def _drawings(rows: list[Row]) -> dict[str, Markup]:
    """Thumbnails by report: with frames, or curves alone where that is too much, or none."""
    pictures = {row.page: row.record.thumbnail for row in rows if row.record and row.record.thumbnail}
    for frames in (True, False):
        drawn = {page: picture.svg(frames=frames) for page, picture in pictures.items() if frames or picture.curves}
        if sum(map(len, drawn.values())) <= MAX_DRAWN:
            return drawn
    return {}


def _current(suite: Suite, rows: list[Row]) -> dict[str, Any]:
    """The index: the suite's runs, by notebook."""
    notebooks: dict[str, list[Row]] = {}
    for run, row in zip(suite.runs, rows, strict=True):
        notebooks.setdefault(run.notebook, []).append(row)
    groups = [
        Group(f"notebook-{number}", _title(notebook, members), notebook, members)
        for number, (notebook, members) in enumerate(notebooks.items(), 1)
    ]
    return {"is_history": False, "groups": groups}


def _past(rows: list[Row], history: Mapping[str, list[Row]]) -> dict[str, Any]:
    """The index of the history: for each run, the current report and the earlier ones, the latest first."""
    current = {
        row.label: [Row("now", _used(row.record), row.record, f"../{row.page}", row.good, f"../{row.good_page}")]
        for row in rows
        if row.record
    }
    names = {row.label for row in rows}
    groups = [
        Group(run, run, "" if run in names else "no longer in the suite", current.get(run, []) + reports)
        for run, reports in history.items()
    ]
    return {"is_history": True, "groups": groups}


def _title(notebook: str, rows: Iterable[Row]) -> str:
    return next((row.record.title for row in rows if row.record), Path(notebook).stem)


def _row(run: Run, suite: Suite, folder: Path, history: Mapping[str, list[Row]]) -> Row:
    good, failed = Slot(folder, run.name), Slot(folder, f"{run.name}.failed")
    record, attempt = good.record(), failed.record()
    parameters = _parameters(run, attempt or record, suite, folder)
    earlier = len(history.get(run.name, []))
    if attempt:
        page, good_page = quote(failed.page.name), quote(good.page.name)
        return Row(run.name, parameters, attempt, page, record, good_page, earlier)
    return Row(run.name, parameters, record, quote(good.page.name), earlier=earlier)


def _parameters(run: Run, record: RunRecord | None, suite: Suite, folder: Path) -> dict[str, Any]:
    """The parameters of the report that is shown, written as in the suite where they are the same, or of the run."""
    now = _masked(run)
    if record is None:
        return now
    filled_in = _masked(filled(run, suite, folder))
    used = _used(record)
    return {name: now[name] if filled_in.get(name, ...) == value else value for name, value in used.items()}


def _masked(run: Run) -> dict[str, Any]:
    """All parameters of a run, given or not, as its record has them."""
    given = [dict(run.defaults), dict(run.parameters)]
    defaults, parameters = without_infinities(without_credentials(given))
    return {**defaults, **parameters}


def _history(suite: Suite, folder: Path) -> dict[str, list[Row]]:
    """By run: replaced reports, and reports of runs that the suite no longer has, the latest first."""
    current = {name for run in suite.runs for name in (run.name, f"{run.name}.failed")}
    dropped = [slot for slot in reports_in(folder) if slot.name not in current]
    found: dict[str, list[Row]] = {}
    for slot, place in [*((slot, "../") for slot in dropped), *((slot, "") for slot in reports_in(folder / HISTORY))]:
        record = slot.record()
        run = record.run if record else slot.name.rpartition(".")[0] or slot.name
        label, parameters = (record.when, _used(record)) if record else (slot.name, {})
        row = Row(label, parameters, record, place + quote(slot.page.name))
        found.setdefault(run, []).append(row)
    return {run: sorted(found[run], key=_age) for run in sorted(found)}


def _used(record: RunRecord) -> dict[str, Any]:
    """All parameters of a run, given or not."""
    return {**record.defaults, **record.parameters}


def _age(row: Row) -> float:
    return -row.record.started.timestamp() if row.record else 0.0
