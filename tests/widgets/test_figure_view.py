"""FigureView and the frame that exports share, in a real browser."""

import base64
import html
import json
from collections.abc import Iterator
from pathlib import Path

import plotly.graph_objects as go
import pytest
from bs4 import BeautifulSoup
from IPython.display import HTML
from mmduet_widgets.figure_view import FigureView, framed, packed_plotly

from mmduet.plots.style import plain
from mmduet.reports.outputs import inert_html
from tests.chromium import Browser, Frame, Page, Record, record, until

ATTACK = '<img src=x onerror="window.ran=1"></script><script>window.ran=1</script> @DATA@'

# the widget's module over an object like a kernel's model, which the test changes
HARNESS = """<!DOCTYPE html><meta charset="utf-8"><div id="view" style="width: 600px"></div>
<script type="application/json" id="data">@DATA@</script>
<script type="module">
const { esm, plotly, figure, moved } = JSON.parse(document.getElementById("data").textContent);
const listeners = {};
const state = { figure, moved, plotly: Uint8Array.from(atob(plotly), (letter) => letter.charCodeAt(0)) };
window.model = {
  get: (name) => state[name],
  set: (name, value) => { state[name] = value; (listeners[`change:${name}`] ?? []).forEach((listen) => listen()); },
  on: (event, listen) => { (listeners[event] ??= []).push(listen); },
  save_changes: () => {},
};
const { default: view } = await import(URL.createObjectURL(new Blob([esm], { type: "text/javascript" })));
const rendered = view.render({ model, el: document.getElementById("view") });
if (location.hash) model.set("figure", JSON.stringify({ data: [{ y: [1, 2], name: "newer" }], layout: {} }));
await rendered;
window.done = true;
</script>"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 760, "height": 800})
    yield page
    page.close()


def show(page: Page, path: Path) -> Record:
    """Open a file; what the page does from then on."""
    seen = record(page)
    page.goto(path.as_uri())
    return seen


def framed_page(page: Page) -> Frame:
    """What the page's frame shows."""
    return page.frames[1]


def make_figure(text: str = "curve") -> go.Figure:
    """A curve and a mark that moves."""
    fig = go.Figure(layout={"title": plain(text), "height": 300, "showlegend": True})
    fig.add_scatter(y=[1, 2, 3], name=plain(text))
    return fig.add_scatter(x=[1], y=[2], mode="markers", marker={"size": 20}, name="mark", meta="mark")


def harness(folder: Path, view: FigureView) -> Path:
    data = {
        "esm": FigureView._esm,
        "plotly": base64.b64encode(packed_plotly()).decode(),
        **view.get_state(["figure", "moved"]),
    }
    path = folder / "view.html"
    path.write_text(HARNESS.replace("@DATA@", json.dumps(data).replace("<", "\\u003c")), encoding="utf-8")
    return path


def drawn_view() -> FigureView:
    view = FigureView()
    view.draw(make_figure())
    return view


def test_a_move_changes_what_moves_and_a_drawing_undoes_it() -> None:
    view = drawn_view()
    view.move({"x": [[0]], "name": ["moved"]})
    assert json.loads(view.moved) == {"traces": [1], "changes": {"x": [[0]], "name": ["moved"]}}
    view.draw(make_figure("another"))
    assert json.loads(view.moved)["traces"] == []
    assert "another" in view.figure


def test_numbers_that_json_lacks_are_null() -> None:
    view = drawn_view()
    view.move({"y": [[float("nan")]]})
    assert json.loads(view.moved)["changes"]["y"] == [[None]]


@pytest.mark.parametrize("late", [False, True])
def test_the_browser_draws_moves_and_tells_what_is_clicked(page: Page, tmp_path: Path, late: bool) -> None:
    view = drawn_view()
    seen = show(page, harness(tmp_path, FigureView() if late else view))
    until(page, "window.done")
    if late:  # the page shows the view before its first figure has come
        assert page.evaluate("document.querySelectorAll('.xtick, .ytick, .trace').length") == 0
        page.evaluate(f"model.set('figure', {json.dumps(view.figure)})")
        until(page, "document.querySelector('.legendtext')")
    assert page.evaluate("[...document.querySelectorAll('.legendtext')].map((e) => e.textContent)") == ["curve", "mark"]
    view.move({"x": [[0]], "y": [[1]], "name": ["moved"]})
    page.evaluate(f"model.set('moved', {json.dumps(view.moved)})")
    until(page, "document.querySelectorAll('.legendtext')[1].textContent === 'moved'")
    mark = "document.querySelectorAll('.scatterlayer .trace')[1].querySelector('.point').getBoundingClientRect()"
    x, y = page.evaluate(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({mark})")
    page.mouse.move(x, y)
    page.wait_for_selector(".hoverlayer .hovertext")
    page.mouse.click(x, y)
    clicked = until(page, "model.get('clicked')")
    assert (clicked["axis"], clicked["x"], clicked["y"]) == ("y", 0, 1)
    assert seen.errors == []


def test_a_change_while_plotly_is_unpacked_is_not_lost(page: Page, tmp_path: Path) -> None:
    seen = show(page, harness(tmp_path, drawn_view()))
    page.goto(f"{page.url}#newer")
    page.reload()
    until(page, "window.done && document.querySelector('.js-plotly-plot').data[0].name === 'newer'")
    assert seen.errors == []


def test_a_frame_is_sandboxed_and_shows_text_as_text(page: Page, tmp_path: Path) -> None:
    parts = [HTML(f"<p>{html.escape(ATTACK)}</p>"), make_figure(ATTACK)]
    path = tmp_path / "frame.html"
    path.write_text(f"<!DOCTYPE html>{framed(parts, title=ATTACK, height=500)}", encoding="utf-8")
    frame = BeautifulSoup(path.read_text(), "html.parser").iframe
    assert frame is not None
    assert frame.get_attribute_list("sandbox") == ["allow-scripts", "allow-downloads"]
    seen = show(page, path)
    inside = framed_page(page)
    until(inside, "document.querySelector('.gtitle') !== null")
    assert inside.evaluate("document.querySelector('.gtitle').textContent") == ATTACK
    assert inside.evaluate("document.querySelector('p').textContent") == ATTACK
    assert inside.evaluate("document.querySelectorAll('img').length") == 0
    assert [url for url in seen.requests if not url.startswith(("file:", "blob:", "data:", "about:"))] == []
    assert seen.errors == []


def test_a_frame_lives_in_a_report_too(page: Page, tmp_path: Path) -> None:
    policy = "default-src 'none'; script-src 'nonce-abc' 'strict-dynamic'; style-src 'unsafe-inline'; img-src data:"
    body = inert_html(framed([make_figure()], title="", height=400), "abc")
    path = tmp_path / "report.html"
    path.write_text(f'<!DOCTYPE html><meta http-equiv="Content-Security-Policy" content="{policy}">{body}')
    seen = show(page, path)
    until(framed_page(page), "document.querySelector('.legendtext') !== null")
    assert seen.errors == []
