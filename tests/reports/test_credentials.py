"""Credentials in a parameter's URL: no page, notebook, record, index or message of a report shows them."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.errors import SuiteError
from mmduet.reports import check_parameters, execute, export_html, run_suite
from mmduet.reports.credentials import without_credentials
from tests.reports.samples import write_notebook

URL = 'https://me:pass"wördː%40@api.test/v1?key=k-123'
DEFAULT = "rtsp://camera:hunter2@10.0.0.1/live"
SECRETS = ('pass"w', "k-123", "hunter2", "pass\\")
PARAMETERS = f"where: str = {DEFAULT!r}  # the source\nothers: list = [{DEFAULT!r}]\n"


def test_only_credentials_are_masked() -> None:
    plain = {"a": "https://api.test/v1", "b": [1, None, "../x?y=z"], "c": "me:pass@home", "d": ("https://x.test",)}
    assert without_credentials(plain) == plain
    assert without_credentials([f"see {DEFAULT} now"]) == ["see rtsp://***@10.0.0.1/live now"]
    assert without_credentials(f"no answer from {URL}!", [URL]) == "no answer from https://***@api.test/v1?key=***!"


def test_no_file_of_a_report_holds_them(project: SimpleNamespace) -> None:
    write_notebook(project.notebook, f"print({DEFAULT!r})", parameters=PARAMETERS)
    project.suite.write_text(project.suite.read_text().replace("'{output}'", f"'{URL}'"))
    project.error = f"ConnectionError: {URL} is away (cell 2)"
    assert URL not in run_suite(project.suite).outcomes[0].error
    project.error = ""
    assert run_suite(project.suite).outcomes[0].status == "done"
    assert run_suite(project.suite).outcomes[0].status == "unchanged", "the parameters count as they are"
    assert project.ran[0]["where"] == URL, "the notebook gets them"
    for path in project.folder.rglob("*"):
        assert not [secret for secret in SECRETS if path.is_file() and secret in path.read_text()], path
    assert "https://***@api.test/v1?key=***" in (project.folder / "a.html").read_text()


def test_an_executed_cell_holds_none(tmp_path: Path) -> None:
    """What papermill writes into a cell is escaped; the page of such a notebook is made by nbconvert alone, too."""
    path = write_notebook(tmp_path / "n.ipynb", "1", parameters=PARAMETERS)
    executed = execute(path, tmp_path / "out.ipynb", {"where": URL}).notebook
    written = nbformat.writes(without_credentials(executed, [URL, DEFAULT]))
    assert not [secret for secret in SECRETS if secret in written]
    assert not [secret for secret in SECRETS if secret in export_html(executed)]


def test_no_message_shows_them(project: SimpleNamespace) -> None:
    project.suite.write_text(project.suite.read_text().replace("'{output}'", f"'{URL}'"))
    shown = CliRunner().invoke(app, ["report", str(project.suite), "--check"])
    assert shown.exit_code == 0
    assert "***@api.test" in shown.output
    assert not [secret for secret in SECRETS if secret in shown.output]
    with pytest.raises(SuiteError, match=r"not 'https://\*\*\*@api") as error:
        check_parameters(project.notebook, {"steps": URL})
    assert not [secret for secret in SECRETS if secret in str(error.value)]
