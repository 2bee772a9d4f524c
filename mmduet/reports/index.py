"""The index of a suite's reports: one small page, one row a run."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from mmduet.reports.files import write_whole
from mmduet.reports.metrics import Metric
from mmduet.reports.records import RunRecord, Slot, format_duration
from mmduet.reports.suite import Run, Suite


@dataclass(frozen=True)
class Row:
    """A run as the index shows it: its latest record, and the earlier good one behind a failure."""

    name: str
    parameters: Mapping[str, Any]
    record: RunRecord | None
    link: str
    earlier: RunRecord | None
    earlier_link: str

    @property
    def status(self) -> str:
        return self.record.status if self.record else "waiting"

    @property
    def metrics(self) -> dict[str, Metric]:
        return {metric.name: metric for metric in self.record.metrics} if self.record else {}


@dataclass(frozen=True)
class Group:
    """The runs of one notebook, with the parameters that differ between them and the metrics they have."""

    title: str
    notebook: str
    rows: list[Row]

    @property
    def parameters(self) -> list[str]:
        names = dict.fromkeys(name for row in self.rows for name in row.parameters)
        return [name for name in names if len({repr(row.parameters.get(name, ...)) for row in self.rows}) > 1]

    @property
    def metrics(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row.metrics))


def write_index(suite: Suite, folder: Path, templates: Path, command: str) -> Path:
    """Write `folder`/index.html from the records that lie there; runs without one are waiting."""
    rows = [_row(run, folder) for run in suite.runs]
    records = [row.record for row in rows if row.record]
    template = _environment(templates).get_template("suite/index.html.j2")
    page = template.render(
        suite=suite,
        groups=_groups(suite, rows),
        counts=Counter(row.status for row in rows),
        total=format_duration(sum(record.seconds for record in records)),
        latest=max(records, key=lambda record: record.started, default=None),
        command=command,
        style=Markup((templates / "page.css").read_text(encoding="utf-8")),
    )
    path = folder / "index.html"
    write_whole({path: page})
    return path


def _environment(templates: Path) -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(templates)
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)


def _row(run: Run, folder: Path) -> Row:
    good, failed = Slot(folder, run.name), Slot(folder, f"{run.name}.failed")
    record, attempt = good.record(), failed.record()
    if attempt:
        return Row(run.name, run.parameters, attempt, quote(failed.page.name), record, quote(good.page.name))
    return Row(run.name, run.parameters, record, quote(good.page.name), None, "")


def _groups(suite: Suite, rows: list[Row]) -> list[Group]:
    groups: dict[str, list[Row]] = {}
    for run, row in zip(suite.runs, rows, strict=True):
        groups.setdefault(run.notebook, []).append(row)
    return [Group(_title(notebook, members), notebook, members) for notebook, members in groups.items()]


def _title(notebook: str, rows: list[Row]) -> str:
    return next((row.record.title for row in rows if row.record), Path(notebook).stem)
