"""Run records: the JSON file beside each report that says what ran, when, how, and what came of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from mmduet.reports.metrics import Metric
from mmduet.reports.provenance import Provenance


class RunRecord(BaseModel):
    """One execution of a run. `fingerprint` is of what decided it, `page` of what its page was made with."""

    suite: str
    run: str
    title: str
    notebook: str
    parameters: dict[str, Any]
    status: Literal["done", "failed"]
    error: str = ""
    started: datetime
    seconds: float
    metrics: list[Metric]
    provenance: Provenance
    fingerprint: str
    page: str

    @property
    def when(self) -> str:
        """When it started, in UTC: `2026-03-01 14:05 UTC`."""
        return self.started.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")

    @property
    def duration(self) -> str:
        """How long it took, for reading."""
        return format_duration(self.seconds)


@dataclass(frozen=True)
class Slot:
    """The three files of one run's good report, or, named `.failed`, of an attempt that came to nothing."""

    folder: Path
    name: str

    @property
    def page(self) -> Path:
        return self.folder / f"{self.name}.html"

    @property
    def notebook(self) -> Path:
        return self.folder / f"{self.name}.ipynb"

    @property
    def json(self) -> Path:
        return self.folder / f"{self.name}.json"

    def record(self) -> RunRecord | None:
        """What was recorded here, or None where the files are missing or not ours."""
        if not (self.page.is_file() and self.notebook.is_file()):
            return None
        try:
            return RunRecord.model_validate_json(self.json.read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError):
            return None

    def remove(self) -> None:
        for path in (self.json, self.page, self.notebook):
            path.unlink(missing_ok=True)


def format_duration(seconds: float) -> str:
    """`8.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
