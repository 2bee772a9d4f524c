"""A suite's folder: the three files of each report, the reports that newer ones replaced, and whole writing.

NAME.html  NAME.ipynb  NAME.json                    the latest good run
NAME.failed.html  …                                 an attempt after it that failed
history/NAME.20260301-140500-123456.html  …         what stood there before, by when it was run (UTC)
index.html  history/index.html
"""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from mmduet.errors import SuiteError
from mmduet.reports.records import RunRecord

HISTORY = "history"


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

    def remove(self) -> None:
        for path in (self.json, self.page, self.notebook):
            path.unlink(missing_ok=True)

    def keep(self) -> None:
        """Copy what stands here, if anything does, into the history; SuiteError if it cannot be written."""
        if not self.page.is_file():
            return
        record = self.record()
        made = record.started if record else datetime.fromtimestamp(self.page.stat().st_mtime, UTC)
        folder = self.folder / HISTORY
        make_folder(folder)
        kept = Slot(folder, f"{self.name}.{made.astimezone(UTC):%Y%m%d-%H%M%S-%f}")
        pairs = [(kept.notebook, self.notebook), (kept.page, self.page), (kept.json, self.json)]
        write_whole({path: source.read_bytes() for path, source in pairs if source.is_file()})


def reports_in(folder: Path) -> list[Slot]:
    """The reports that lie in `folder`, by name; none where there is no such folder."""
    return [Slot(folder, page.stem) for page in sorted(folder.glob("[!.]*.html")) if page.stem != "index"]


def write_whole(contents: Mapping[Path, str | bytes]) -> None:
    """Write all of `contents` (path -> text, in UTF-8, or bytes), or none: each is complete before one is renamed.

    Raises SuiteError, with the files that stood there kept, if one cannot be written.
    """
    staged = {path: staging_path(path) for path in contents}
    target = Path()
    try:
        for target, content in contents.items():
            _write(staged[target], content if isinstance(content, bytes) else content.encode())
        for target, temporary in staged.items():
            os.replace(temporary, target)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def staging_path(path: Path) -> Path:
    """The hidden name beside `path` under which this process prepares it."""
    return path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")


def make_folder(path: Path) -> None:
    """Create the folder `path` and its parents; SuiteError if that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> SuiteError:
    """The sentence for a file that could not be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    fix = "free some space" if full else "check the folder and its permissions"
    return SuiteError(
        f"{path} could not be written ({error.strerror or error}), so what stood there is kept: "
        f"{fix} and run the suite again"
    )


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
