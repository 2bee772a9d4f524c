"""A suite's pages, opened from disk with the network off: index, report, contents, print, dark and light."""

import json
from collections.abc import Iterator
from pathlib import Path

import plotly.graph_objects as go
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mmduet.reports import check_suite, export_html
from mmduet.reports.export import TEMPLATES
from mmduet.reports.index import write_index
from mmduet.reports.metrics import Metric
from mmduet.reports.thumbnails import make_thumbnail
from tests.chromium import Browser, Page, open_browser, record, until
from tests.reports.samples import leave_report, write_notebook, write_suite

ATTACK = "<img src=x onerror=document.documentElement.dataset.ran=1></script><script>boom()</script>"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page without a network."""
    with chromium.new_context(offline=True, viewport={"width": 1100, "height": 700}) as context:
        yield context.new_page()


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """The index of two reports and an earlier one, with foreign text wherever there is text."""
    write_notebook(tmp_path / "notebooks" / "n.ipynb")
    runs = f"  - {{name: a, notebook: notebooks/n.ipynb, matrix: {{where: [{json.dumps(ATTACK)}, b]}}}}\n"
    suite, folder, checked = check_suite(write_suite(tmp_path, runs, title=ATTACK, description=ATTACK))
    figure = json.loads(go.Figure(go.Scatter(y=[1, 3, 2], name=ATTACK), layout={"title": ATTACK}).to_json())
    bundle = new_output("display_data", data={"application/vnd.plotly.v1+json": figure})
    prose = [new_markdown_cell(f"## Part {number}\n\n" + "word " * 900) for number in (1, 2, 3)]
    told = {"title": ATTACK, "metrics": [Metric(ATTACK, 0.5, 0.25, 0.75)]}
    told["thumbnail"] = make_thumbnail(None, {ATTACK: [0, 1, 0.5]}, [0.5], 0.5)
    content = export_html(new_notebook(cells=[*prose, new_code_cell("show()", outputs=[bundle])]))
    for number, run in enumerate(checked):
        told["metrics"] = [Metric(ATTACK, number, number - 0.25, number + 0.25)]
        leave_report(folder, run.name, page=content, **told)
        leave_report(folder / "history", f"{run.name}.1", page=content, run=run.name, **told)
    return write_index(suite, folder, TEMPLATES, ATTACK)


def test_from_index_to_report_and_history_nothing_is_fetched_nor_runs(page: Page, index: Path) -> None:
    seen = record(page)
    page.goto(index.as_uri())
    for leads in (".picture >> nth=0", "a[href^=history] >> nth=-1", "main a >> nth=-1"):
        page.goto(index.as_uri())
        page.locator(leads).click()
        until(page, f"document.readyState === 'complete' && location.href !== {json.dumps(index.as_uri())}")
        assert page.evaluate("document.documentElement.dataset.ran") is None
    page.goto(index.as_uri())
    page.locator(".picture").first.click()
    until(page, "document.querySelector('.plot .gtitle')?.textContent.includes('onerror')")
    assert all(address.startswith(("file:", "blob:", "data:")) for address in seen.requests)
    assert not seen.errors


def test_contents_go_to_their_heading_and_follow_the_reader(page: Page, index: Path) -> None:
    page.goto(index.as_uri())
    page.locator(".picture").first.click()
    current = "document.querySelector('nav [aria-current]')?.textContent"
    page.get_by_role("link", name="Part 2").click()
    until(page, f"{current} === 'Part 2'")
    assert abs(page.evaluate("document.getElementById('part-2').getBoundingClientRect().top")) < 100
    page.evaluate("scrollTo(0, 0)")
    until(page, f"{current} !== 'Part 2'")


@pytest.mark.parametrize("name", ["index", "report"])
def test_pages_are_light_and_dark_and_fit_on_paper(page: Page, index: Path, name: str) -> None:
    page.goto(index.as_uri())
    if name == "report":
        page.locator(".picture").first.click()
        until(page, "document.querySelector('.plot .main-svg') !== null")
    brightness = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        brightness[scheme] = sum(json.loads(page.evaluate(BACKGROUND).replace("rgb(", "[").replace(")", "]")))
    assert brightness["dark"] < 150 < 700 < brightness["light"]
    page.set_viewport_size({"width": 680, "height": 960})  # A4 within its margins, CSS pixels
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(BACKGROUND) == "rgb(255, 255, 255)", "paper is white"
    until(page, "document.documentElement.scrollWidth <= innerWidth")
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
