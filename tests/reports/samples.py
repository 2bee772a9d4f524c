"""Notebooks and suites to try on, and what holds for every page."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from mmduet.reports.records import Provenance, RunRecord
from mmduet.reports.slots import Slot

HOSTILE = "<img src=x onerror=boom()></script><!--<script>boom()</script>\u2028 & <b>"
PARAMETERS = """\
threshold: float = 0.5  # speak where the score passes this
steps: int = 3
adapter: str | None = None  # a folder
heads: list[str] = ["informative"]
where = "here"
"""


def write_notebook(path: Path, *sources: str, parameters: str = PARAMETERS) -> Path:
    """A notebook with a title, a `parameters` cell and the code cells `sources`, without kernel metadata."""
    declaring = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell(f"# About {path.stem}\n\n## Part"), declaring, *map(new_code_cell, sources)]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)
    return path


def write_suite(root: Path, runs: str, **head: str) -> Path:
    """A suite in root/suites, beside root/notebooks."""
    (root / "suites").mkdir(parents=True, exist_ok=True)
    (root / "notebooks").mkdir(exist_ok=True)
    keys = {"name": "try", "title": "A try", **head}
    path = root / "suites" / "try.yaml"
    path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in keys.items()) + f"runs:\n{runs}")
    return path


MADE = Provenance(versions={"torch": "2"}, commit="abc", decoder="d", device="none", system="s", command="c")


def leave_report(folder: Path, name: str, *, page: str = "a page", **changes: Any) -> None:
    """The files of run `name`, as one that ran would leave them, with `changes` to its record."""
    record: dict[str, Any] = {
        "suite": "A try", "run": name, "title": "About n", "notebook": "notebooks/n.ipynb", "parameters": {},
        "status": "done", "started": datetime(2026, 3, 1, tzinfo=UTC), "seconds": 1.0, "metrics": [],
        "provenance": MADE, "fingerprint": "", "page": "",
    }  # fmt: skip
    slot = Slot(folder, name)
    folder.mkdir(parents=True, exist_ok=True)
    slot.page.write_text(page)
    slot.notebook.write_text(nbformat.writes(nbformat.v4.new_notebook()))
    slot.json.write_text(RunRecord(**record | changes).model_dump_json())


def assert_offline(page: str) -> None:
    """No script, style, font or picture of the page is fetched."""
    soup = BeautifulSoup(page, "html.parser")
    assert not soup.find_all("link")
    assert not [tag for tag in soup.find_all(src=True) if not tag["src"].startswith("data:")]
    style = "".join(tag.get_text() for tag in soup.find_all("style"))
    assert not re.search(r"@import|url\(|https?:", style)
    policy = soup.find("meta", {"http-equiv": "Content-Security-Policy"})
    assert policy is not None
    assert str(policy["content"]).startswith("default-src 'none'")
