"""Slots: the three files of each report in a suite's folder, and the reports that newer ones replaced.

NAME.html  NAME.ipynb  NAME.json                    the latest successful run
NAME.failed.html  …                                 a later attempt that failed
history/NAME.20260301-140500-123456.html  …         an earlier report, by the time of its run (UTC)
logs/NAME.20260301-140500-123456.log  …             what the cells of a report printed; also in history/
index.html  history/index.html
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from mmduet.files import check_target, clean, inside, make_folder, read_json, remove, write_files
from mmduet.reports.records import RunRecord

HISTORY = "history"
MARK = b'<meta name="generator" content="mmduet report">'  # in every page


@dataclass(frozen=True)
class Slot:
    """The three files of one report."""

    folder: Path
    name: str

    @property
    def page(self) -> Path:
        """The page."""
        return self.folder / f"{self.name}.html"

    @property
    def notebook(self) -> Path:
        """The executed notebook."""
        return self.folder / f"{self.name}.ipynb"

    @property
    def json(self) -> Path:
        """The run record."""
        return self.folder / f"{self.name}.json"

    def record(self) -> RunRecord | None:
        """Read the run record; None where files are missing or not those of a report."""
        if not (self.page.is_file() and self.notebook.is_file()):
            return None
        try:
            return RunRecord.model_validate_json(self.json.read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError):
            return None

    def is_ours(self, _: Path | None = None) -> bool:
        """Whether these files are a report: by the page's mark, or by the record in files of an earlier version."""
        if self.page.is_file():
            return is_page(self.page) or self.record() is not None
        if self.json.is_file():
            return bool(RunRecord.model_validate_json(self.json.read_text(encoding="utf-8")))
        return "mmduet" in read_json(self.notebook)["metadata"]

    def remove(self) -> None:
        """Remove the three files."""
        for path in (self.json, self.page, self.notebook):
            remove(path)

    def keep(self) -> None:
        """Copy the report, if it exists, into the history. Raises FileError if that cannot be written.

        A copy that exists already stays: its run was killed while it replaced the report.
        """
        if not self.page.is_file():
            return
        record = self.record()
        made = record.started if record else datetime.fromtimestamp(self.page.stat().st_mtime, UTC)
        folder = self.folder / HISTORY
        kept = Slot(folder, f"{self.name}.{made.astimezone(UTC):%Y%m%d-%H%M%S-%f}")
        pairs = [(kept.notebook, self.notebook), (kept.page, self.page), (kept.json, self.json)]
        if record and record.log and inside(self.folder, record.log):
            pairs.append((folder / record.log, self.folder / record.log))
        write_files({path: source.read_bytes() for path, source in pairs if source.is_file() and not path.exists()})


def reports_in(folder: Path) -> list[Slot]:
    """List the reports in a folder by name; none where the folder does not exist."""
    return [Slot(folder, page.stem) for page in sorted(folder.glob("[!.]*.html")) if page.stem != "index"]


def check_reports(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder in which a report or index would replace another file, before anything runs.

    Args:
        folder: The folder, which is made if it is missing.
        names: The names of the reports.

    Raises:
        FileError: A file of another kind has the name of a report or index, or the folder cannot be written.
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
    """Whether an index is ours. Earlier versions did not mark it: then it is ours when reports are in its folder."""
    return is_page(path) or any(slot.record() for slot in reports_in(path.parent))
