"""A suite's folder: the three files of each report, and the reports that newer ones replaced.

NAME.html  NAME.ipynb  NAME.json                    the latest good run
NAME.failed.html  …                                 an attempt after it that failed
history/NAME.20260301-140500-123456.html  …         what stood there before, by when it was run (UTC)
index.html  history/index.html
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from mmduet.files import check_target, clean, make_folder, read_json, remove, write_files
from mmduet.reports.records import RunRecord

HISTORY = "history"
MARK = b'<meta name="generator" content="mmduet report">'  # of every page


@dataclass(frozen=True)
class Slot:
    """The three files of one report."""

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

    def is_ours(self, _: Path | None = None) -> bool:
        """Whether these files are a report: by the page's mark, or, of an earlier version, by the record."""
        if self.page.is_file():
            return is_page(self.page) or self.record() is not None
        if self.json.is_file():
            return bool(RunRecord.model_validate_json(self.json.read_text(encoding="utf-8")))
        return "mmduet" in read_json(self.notebook)["metadata"]

    def remove(self) -> None:
        for path in (self.json, self.page, self.notebook):
            remove(path)

    def keep(self) -> None:
        """Copy what stands here, if anything does, into the history; FileError if it cannot be written.

        What is there already stays: a run that kept it was killed while it replaced what stands here.
        """
        if not self.page.is_file():
            return
        record = self.record()
        made = record.started if record else datetime.fromtimestamp(self.page.stat().st_mtime, UTC)
        folder = self.folder / HISTORY
        kept = Slot(folder, f"{self.name}.{made.astimezone(UTC):%Y%m%d-%H%M%S-%f}")
        pairs = [(kept.notebook, self.notebook), (kept.page, self.page), (kept.json, self.json)]
        write_files({path: source.read_bytes() for path, source in pairs if source.is_file() and not path.exists()})


def reports_in(folder: Path) -> list[Slot]:
    """The reports that lie in `folder`, by name; none where there is no such folder."""
    return [Slot(folder, page.stem) for page in sorted(folder.glob("[!.]*.html")) if page.stem != "index"]


def check_reports(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder in which a report or index would take the place of another file, before anything runs.

    names: of the reports. Raises FileError.
    """
    make_folder(folder)
    clean(folder)
    for slot in (Slot(folder, name) for run in names for name in (run, f"{run}.failed")):
        for path in (slot.page, slot.notebook, slot.json):
            check_target(path, ours=slot.is_ours)
    for place in (folder, folder / HISTORY):
        if os.path.lexists(place / "index.html"):
            check_target(place / "index.html", ours=_is_index)


def is_page(path: Path) -> bool:
    """Whether a file is a page that this package wrote."""
    with path.open("rb") as file:
        return MARK in file.read(4096)


def _is_index(path: Path) -> bool:
    """Earlier versions did not mark their pages: then reports beside it make it ours."""
    return is_page(path) or any(slot.record() for slot in reports_in(path.parent))
