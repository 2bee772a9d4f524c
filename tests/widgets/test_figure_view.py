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
from tests.widgets.chromium import Page, open_chromium

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


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


def make_figure(text: str = "curve") -> go.Figure:
    """A curve and a mark that moves."""
    fig = go.Figure(layout={"title": plain(text), "height": 300, "showlegend": True})
    fig.add_scatter(y=[1, 2, 3], name=plain(text))
    return fig.add_scatter(x=[1], y=[2], mode="markers", marker={"size": 20}, name="mark", meta="mark")


def harness(folder: Path, view: FigureView) -> Path:
    data = {
        "esm": str(FigureView._esm),
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


def test_the_browser_draws_moves_and_tells_what_is_clicked(page: Page, tmp_path: Path) -> None:
    view = drawn_view()
    page.open(harness(tmp_path, view))
    page.until("window.done")
    assert page.value("[...document.querySelectorAll('.legendtext')].map((e) => e.textContent)") == ["curve", "mark"]
    view.move({"x": [[0]], "y": [[1]], "name": ["moved"]})
    page.value(f"model.set('moved', {json.dumps(view.moved)})")
    page.until("document.querySelectorAll('.legendtext')[1].textContent === 'moved'")
    mark = "document.querySelectorAll('.scatterlayer .trace')[1].querySelector('.point').getBoundingClientRect()"
    x, y = page.value(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({mark})")
    page.pointer("mouseMoved", x, y)
    page.until("document.querySelector('.hoverlayer .hovertext') !== null")
    page.click(x, y)
    page.until("model.get('clicked')")
    clicked = page.value("model.get('clicked')")
    assert (clicked["axis"], clicked["x"], clicked["y"]) == ("y", 0, 1)
    assert page.errors == []


def test_a_change_while_plotly_is_unpacked_is_not_lost(page: Page, tmp_path: Path) -> None:
    page.open(harness(tmp_path, drawn_view()))
    page.value("location.hash = 'newer', location.reload(), 1")
    page.until("window.done && document.querySelector('.js-plotly-plot').data[0].name === 'newer'")
    assert page.errors == []


def test_a_frame_is_sandboxed_and_shows_text_as_text(page: Page, tmp_path: Path) -> None:
    parts = [HTML(f"<p>{html.escape(ATTACK)}</p>"), make_figure(ATTACK)]
    path = tmp_path / "frame.html"
    path.write_text(f"<!DOCTYPE html>{framed(parts, title=ATTACK, height=500)}", encoding="utf-8")
    frame = BeautifulSoup(path.read_text(), "html.parser").iframe
    assert frame is not None
    assert frame.get_attribute_list("sandbox") == ["allow-scripts"]
    page.open(path)
    world = page.frame_world()
    page.until("document.querySelector('.gtitle') !== null", contextId=world)
    assert page.value("document.querySelector('.gtitle').textContent", contextId=world) == ATTACK
    assert page.value("document.querySelector('p').textContent", contextId=world) == ATTACK
    assert page.value("document.querySelectorAll('img').length", contextId=world) == 0
    assert [url for url in page.requests if not url.startswith(("file:", "blob:", "data:", "about:"))] == []
    assert page.errors == []


def test_a_frame_lives_in_a_report_too(page: Page, tmp_path: Path) -> None:
    policy = "default-src 'none'; script-src 'nonce-abc' 'strict-dynamic'; style-src 'unsafe-inline'; img-src data:"
    body = inert_html(framed([make_figure()], title="", height=400), "abc")
    path = tmp_path / "report.html"
    path.write_text(f'<!DOCTYPE html><meta http-equiv="Content-Security-Policy" content="{policy}">{body}')
    page.open(path)
    page.until("document.querySelector('.legendtext') !== null", contextId=page.frame_world())
    assert page.errors == []
