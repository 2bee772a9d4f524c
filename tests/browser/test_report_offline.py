"""An exported page, opened from disk in a real browser: plots draw, nothing is fetched, no foreign script runs."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import plotly.graph_objects as go
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mmduet.plots import distribution_figure
from mmduet.reports import export_html
from tests.chromium import Browser, Page, until

ATTACK = '<img src=x onerror="document.documentElement.dataset.ran=1"></script><script>boom()</script>'
FRAME = (
    '<script type="module">const code = new Blob(["export default 42"], {type: "text/javascript"});'
    "const {default: number} = await import(URL.createObjectURL(code));"
    'parent.postMessage("widget " + number, "*")</script>'
)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page; what is refused to an attack is an error to it, so it may have some."""
    with browser.new_context() as context:
        yield context.new_page()


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A web server's address and the paths that were asked of it."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()


def show(page: Page, content: str, folder: Path) -> None:
    """Opens a page from disk."""
    path = folder / "page.html"
    path.write_text(content, encoding="utf-8")
    page.goto(path.as_uri())


def page_of(*bundles: dict[str, object]) -> str:
    code = new_code_cell("show()", outputs=[new_output("display_data", data=bundle) for bundle in bundles])
    return export_html(new_notebook(cells=[new_markdown_cell(f"# A report\n\n{ATTACK}"), code]))


def figure(**layout: object) -> dict[str, object]:
    """A figure's output, drawn from typed arrays as plotly writes NumPy's."""
    drawn = go.Figure(go.Heatmap(z=[[0, 1], [1, 0]], hovertext=[[ATTACK] * 2] * 2), layout={"title": ATTACK, **layout})
    drawn.add_scatter(x=[0, 1], y=[1, 0], name=ATTACK, xaxis="x2", yaxis="y2")
    return {"application/vnd.plotly.v1+json": json.loads(drawn.to_json())}


def test_plots_are_drawn_and_nothing_is_fetched(page: Page, tmp_path: Path, asked: tuple[str, list[str]]) -> None:
    address, paths = asked
    remote = {"source": f"{address}/picture.png", "xref": "paper", "yref": "paper", "sizex": 1, "sizey": 1}
    html = f'<img src="{address}/a.png"><script src="{address}/b.js"></script><p style="background:url({address}/c)">'
    show(page, page_of(figure(images=[remote]), figure(), {"text/html": html}), tmp_path)
    until(page, "document.querySelectorAll('.plot:has(svg.main-svg)').length === 2")
    until(page, "document.querySelector('.plot .heatmaplayer image')")  # the heatmap has its pixels
    assert not paths, "the page asked the network for something"


@pytest.mark.parametrize("page_kind", ["report", "saved by plotly"])
def test_no_figure_offers_to_upload_itself(page: Page, tmp_path: Path, page_kind: str) -> None:
    drawn = distribution_figure([1.0, 2.0], "Durations", "s")
    content = page_of(figure()) if page_kind == "report" else drawn.to_html(include_plotlyjs=True)
    show(page, content, tmp_path)
    until(page, "document.querySelectorAll('.modebar-btn').length > 0")
    titles = page.evaluate("[...document.querySelectorAll('.modebar-btn')].map((button) => button.dataset.title)")
    assert "Pan" in titles
    assert not [title for title in titles if "share" in title.lower() or "cloud" in title.lower()]


def test_foreign_text_runs_nothing(page: Page, tmp_path: Path) -> None:
    show(page, page_of(figure(), {"text/html": ATTACK}, {"text/plain": ATTACK}), tmp_path)
    page.locator(".gtitle").wait_for()
    assert page.evaluate("document.documentElement.dataset.ran") is None
    assert "onerror" in page.locator(".gtitle").all_text_contents()[0]


def test_a_widgets_frame_runs_its_own_module(page: Page, tmp_path: Path) -> None:
    content = page_of(
        {"text/html": f'<iframe srcdoc="{FRAME.replace("&", "&amp;").replace(chr(34), "&quot;")}"></iframe>'}
    )
    nonce = content.partition("script-src 'nonce-")[2].partition("'")[0]
    listener = f'<script nonce="{nonce}">onmessage = (event) => {{ document.body.dataset.said = event.data; }}</script>'
    show(page, content.replace("</head>", f"{listener}</head>"), tmp_path)
    assert until(page, "document.body.dataset.said") == "widget 42"
