"""Pages: they show everything as text, run nothing foreign and fetch nothing."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import plotly.graph_objects as go
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from plotly.offline import get_plotlyjs

from mmduet.reports import export_html, metrics, thumbnails
from tests.reports.samples import HOSTILE, assert_offline, write_notebook


def hostile_notebook() -> Any:
    """HOSTILE in every place where text of a model or an annotation may come to stand."""
    figure = json.loads(go.Figure(go.Scatter(x=[1, 2], y=[2, 1], name=HOSTILE), layout={"title": HOSTILE}).to_json())
    rows = [metrics.Metric.of(HOSTILE, 0.5)._asdict()]
    displayed = [
        {"application/vnd.plotly.v1+json": figure, "text/html": "never shown"},
        {"application/vnd.plotly.v1+json": figure},
        {"text/html": pd.DataFrame({HOSTILE: [HOSTILE]}).to_html()},
        {
            metrics.MIMETYPE: {"metrics": rows, "caption": ""},
            "text/html": metrics._table([metrics.Metric(**rows[0])], ""),
        },
        {"text/markdown": HOSTILE},
        {"text/plain": HOSTILE},
        {"image/svg+xml": f"<svg>{HOSTILE}</svg>", "text/plain": HOSTILE},
    ]
    code = new_code_cell(f"print({HOSTILE!r})")
    code.outputs = [new_output("display_data", data=data) for data in displayed]
    code.outputs.append(new_output("stream", name="stdout", text=HOSTILE))
    code.outputs.append(new_output("error", ename="E", evalue=HOSTILE, traceback=[HOSTILE]))
    prose = new_markdown_cell(f"# {HOSTILE}\n\n## {HOSTILE}\n\n{HOSTILE}\n\n![{HOSTILE}](https://a.b/c.png)")
    return new_notebook(cells=[prose, code])


def test_hostile_text_shows_as_text_and_runs_nothing() -> None:
    soup = BeautifulSoup(export_html(hostile_notebook()), "html.parser")
    assert not [tag for tag in soup.find_all() if any(name.startswith("on") for name in tag.attrs)]
    assert not soup.find_all("img", src="x")
    scripts = soup.find_all("script")
    assert [script.get("type") for script in scripts] == ["application/json", "application/json", None, None]
    assert json.loads(scripts[0].get_text())["layout"]["title"]["text"] == HOSTILE
    title = soup.select_one("h1")
    assert title is not None
    assert title.get_text() == HOSTILE
    shown = [tag.get_text() for tag in soup.select("pre, td, dt, .failure p, p")]
    assert sum("onerror=boom()" in text for text in shown) >= 7


def test_plotly_is_in_a_page_once_and_only_with_a_plot() -> None:
    page = export_html(hostile_notebook())
    assert_offline(page)
    assert page.count(get_plotlyjs()) == 1
    assert len(page) < len(get_plotlyjs()) + 60_000
    plain = export_html(new_notebook(cells=[new_markdown_cell("# Words")]))
    assert_offline(plain)
    assert len(plain) < 40_000


def test_a_page_tells_parameters_contents_and_folds_code(tmp_path: Path) -> None:
    notebook = nbformat.read(write_notebook(tmp_path / "n.ipynb", "1 + 1"), as_version=4)
    notebook.metadata["papermill"] = {"parameters": {"steps": 8}}
    soup = BeautifulSoup(export_html(notebook), "html.parser")
    given = soup.select_one(".parameters .given")
    assert given is not None
    assert given.get_text(" ", strip=True) == "steps 8 default 3"
    assert [link["href"] for link in soup.select("nav a")] == ["#part"]
    assert [fold.get_text(" ", strip=True) for fold in soup.select("details.code")] == ["code 1 + 1"]


def test_what_needs_a_kernel_or_is_for_the_index_is_left_out() -> None:
    progress = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "Loading: 0%"}
    page_of_a_widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "2"}, "text/html": "<p>its page</p>"}
    thumbnail = {thumbnails.MIMETYPE: {}, "text/html": "<svg></svg>"}
    other = {"application/vnd.jupyter.widget-view+json": {"model_id": "3"}, "text/plain": "IntSlider(value=3)"}
    scripted = {"text/html": "<div id='plot'></div><script>draw()</script>", "text/plain": "Plot()"}
    bundles = (progress, page_of_a_widget, thumbnail, other, scripted)
    outputs = [new_output("display_data", data=data) for data in bundles]
    soup = BeautifulSoup(export_html(new_notebook(cells=[new_code_cell("x", outputs=outputs)])), "html.parser")
    assert [shown.get_text(strip=True)[:20] for shown in soup.select(".displayed > p, .printed, .left-out")] == [
        "its page", "A widget is left out", "An output is left ou", 
    ]  # fmt: skip


def test_contents_lead_to_headings_of_their_own() -> None:
    prose = ["# T\n\n## A *b*\n\n### `c`", "## A b\n\n#### deep", f"## {HOSTILE}", "## ßü"]
    soup = BeautifulSoup(export_html(new_notebook(cells=list(map(new_markdown_cell, prose)))), "html.parser")
    links = soup.select("nav a")
    assert [link.get_text() for link in links[:3]] == ["A b", "c", "A b"]
    targets = [soup.find(id=str(link["href"])[1:]) for link in links]
    assert [target and target.get_text().split() for target in targets] == [link.get_text().split() for link in links]
    assert len({link["href"] for link in links}) == len(links) == 5
