"""A notebook that papermill ran, opened in JupyterLab before anybody trusts it, and exported by nbconvert."""

from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from mmduet_widgets import ScorePlot
from mmduet_widgets.display import _bundle
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output

from mmduet.policy import ScoreThreshold
from mmduet.reports.export import ReportExporter
from tests.browser.servers import serve_lab
from tests.chromium import Browser, until
from tests.widgets.players import ATTACK, make_player, make_trace

KERNEL_IDLE = "jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'"
PICTURES = "[...document.querySelectorAll('.mmduet-still img')].filter((img) => img.naturalWidth > 0).length"


@pytest.fixture(scope="module")
def notebook() -> nbformat.NotebookNode:
    """A player and a plot, as `show` leaves them."""
    widgets = [make_player(title="my_clip.mp4"), ScorePlot(make_trace(), policy=ScoreThreshold(0.5))]
    shown = [new_output("display_data", data=_bundle(widget)) for widget in widgets]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    return new_notebook(cells=[new_code_cell("show(widget)", outputs=shown)], metadata=kernel)


def test_an_untrusted_notebook_shows_picture_and_words(
    notebook: nbformat.NotebookNode, browser: Browser, tmp_path: Path
) -> None:
    nbformat.write(notebook, tmp_path / "out.ipynb")
    with serve_lab(tmp_path) as (address, token):
        page = browser.new_page(viewport={"width": 1100, "height": 1000})
        page.goto(f"{address}/doc/tree/out.ipynb?{token}")
        until(page, f"{PICTURES} === 2")
        words = page.locator(".mmduet-still").first.inner_text()
        assert "Trust Notebook" in words
        assert ATTACK in words
        assert page.evaluate("window.ran") is None
        until(page, KERNEL_IDLE)  # the server would wait for one that is starting
        page.close()


@pytest.mark.parametrize("exporter", [ReportExporter, HTMLExporter])
def test_an_exported_notebook_has_both_pages(notebook: nbformat.NotebookNode, exporter: type) -> None:
    soup = BeautifulSoup(exporter().from_notebook_node(notebook)[0], "html.parser")
    titles = [frame["title"] for frame in soup.find_all("iframe")]
    assert titles == ["my_clip.mp4", "Scores"]
