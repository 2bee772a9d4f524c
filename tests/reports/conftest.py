"""A project whose runs are made up."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmduet.reports import worker
from mmduet.reports.execution import Execution
from mmduet.reports.notebooks import read_notebook
from tests.reports.samples import write_notebook, write_suite


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A suite of one notebook whose run is made up; `ran` counts, `error` is what the next run ends in."""
    state = SimpleNamespace(
        suite=write_suite(tmp_path, "  - {name: a, notebook: notebooks/n.ipynb, parameters: {where: '{output}'}}\n"),
        notebook=write_notebook(tmp_path / "notebooks" / "n.ipynb", "x"),
        folder=tmp_path / "reports" / "out" / "try",
        ran=[],
        error="",
    )

    def made_up(notebook: Path, output: Path, parameters: dict[str, Any], **_: Any) -> Execution:
        state.ran.append(parameters)
        return Execution(read_notebook(notebook), state.error, datetime.now(UTC), 1.0)

    monkeypatch.setattr(worker, "execute", made_up)
    monkeypatch.setattr("mmduet.reports.records.source_hash", lambda: state.source)
    state.source = "1"
    return state
