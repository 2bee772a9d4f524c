"""A suite's pages for every reader: on a phone and a wide screen, light and dark, on paper, and a saved picture."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from mmduet.plots.colors import HEAD_COLORS
from mmduet.plots.style import finished
from mmduet.reports import export_html
from tests.browser.axe import SCHEMES, SIZES, findings, wider_than_page
from tests.browser.paper import WIDTH, ink_of, print_page
from tests.browser.report_pages import figures, write_pages
from tests.chromium import Browser, Page, until
from tests.widgets.players import make_player

DRAWN = "[...document.querySelectorAll('.plot')].every((place) => place.querySelector('.main-svg'))"
PLAYER_DRAWN = "document.querySelector('.mmduet-player-timeline')?.childElementCount > 0"
TITLES = "[...document.querySelectorAll('.modebar-btn')].map((button) => button.dataset.title)"
INK = "#20242c"  # of saved text
COLORS = ("#AA00CC", "#00CCAA", "#CC0044")  # of no figure of ours


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture(params=[(size, scheme) for size in SIZES for scheme in SCHEMES], ids="-".join)
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    size, scheme = request.param
    width, height = SIZES[size]
    with browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True) as context:
        yield context.new_page()


@pytest.mark.parametrize("name", ["index", "history", "report"])
def test_no_page_keeps_a_reader_out(page: Page, pages: dict[str, Path], name: str) -> None:
    page.goto(pages[name].as_uri())
    until(page, DRAWN)
    if name == "report":
        page.locator(".mmduet-player-frame").scroll_into_view_if_needed()  # a frame draws when it is on the screen
        until(page.frames[1], PLAYER_DRAWN)
    assert findings(page) == []
    assert wider_than_page(page) == []


def report_of(*outputs: dict[str, object]) -> str:
    shown = [new_output("display_data", data=data) for data in outputs]
    return export_html(new_notebook(cells=[new_code_cell("show()", outputs=shown)]))


def as_output(figure: go.Figure) -> dict[str, object]:
    return {"application/vnd.plotly.v1+json": json.loads(figure.to_json())}


@pytest.fixture
def dark(browser: Browser) -> Iterator[Page]:
    """A wide, dark page."""
    with browser.new_context(viewport={"width": 1300, "height": 900}, color_scheme="dark", offline=True) as context:
        yield context.new_page()


def marked(color: str, height: int) -> go.Figure:
    """A figure with a mark at each end of its axis, and another one past its right end."""
    marker = {"color": color, "size": 16, "symbol": "square"}
    fig = go.Figure(go.Scatter(x=[0, 1, 2, 3, 4], y=[1] * 5, mode="markers", marker=marker, cliponaxis=False))
    right = {"x": 1, "xref": "paper", "xanchor": "left", "xshift": 24, "y": 1}
    fig.add_annotation(text="█", showarrow=False, font={"color": color, "size": 24}, **right)
    fig.update_xaxes(range=[0, 4])
    return finished(fig, "A figure", height=height, margin_r=96, showlegend=False)


def groups(places: np.ndarray) -> int:
    """How many groups there are along a line, with gaps between them."""
    return int((np.diff(np.unique(places)) > 3).sum()) + 1 if len(places) else 0


@pytest.mark.parametrize("width", [400, 4000])
def test_a_shadow_shows_where_a_table_continues(page: Page, tmp_path: Path, width: int) -> None:
    table = f"<table><tr><td style='height: 60px; min-width: {width}px'></td></tr></table>"
    path = tmp_path / "report.html"
    path.write_text(report_of({"text/html": table}), encoding="utf-8")
    page.goto(path.as_uri())
    place = page.locator(".displayed")

    def shadows() -> list[bool]:
        with Image.open(io.BytesIO(place.screenshot())) as picture:
            row = np.asarray(picture.convert("L"), dtype=int)[20]
        return [abs(int(row[end]) - int(row[len(row) // 2])) > 8 for end in (1, -2)]

    room, hidden = place.evaluate("(place) => [place.clientWidth, place.scrollWidth - place.clientWidth]")
    assert shadows() == [False, width > room]
    place.evaluate(f"(place) => {{ place.scrollLeft = {hidden // 2} }}")
    assert shadows() == [width > room] * 2
    place.evaluate("(place) => { place.scrollLeft = place.scrollWidth }")
    assert shadows() == [width > room, False]


def test_a_printed_figure_has_all_that_the_screen_shows(dark: Page, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    heights = (300, 500, 1500)  # the last one is taller than the paper
    drawn = [marked(color, height) for color, height in zip(COLORS, heights, strict=True)]
    path.write_text(report_of(*map(as_output, drawn)), encoding="utf-8")
    dark.goto(path.as_uri())
    until(dark, DRAWN)
    printed = print_page(dark)
    for color in COLORS:
        ink = ink_of(printed, color)
        assert groups(ink[:, 1]) == 6, "five marks and the one at the right are on the paper"
        assert np.ptp(ink[:, 0]) < 60, "on one line: no page's end is between them"
        assert np.ptp(ink[:, 1]) > 0.4 * WIDTH, "as wide as the paper, unless it is very tall"
    assert (printed > 240).all(axis=2).mean() > 0.6, "paper is white"


def test_a_printed_player_has_its_legend_and_its_curves(dark: Page, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report_of({"text/html": make_player(title="my_clip.mp4").to_html()}), encoding="utf-8")
    dark.goto(path.as_uri())
    until(dark.frames[1], "document.querySelectorAll('.mmduet-player-key').length === 2")
    printed = print_page(dark)
    for head in ("informative", "relevance"):
        ink = ink_of(printed, HEAD_COLORS[head])
        legend = ink[ink[:, 0] > ink[:, 0].max() - 3]
        assert 8 <= np.ptp(legend[:, 1]) <= 24, "the swatch of the legend is the last of this colour"
    curve = ink_of(printed, HEAD_COLORS["informative"])
    assert np.ptp(curve[:, 0]) > 80, "the curve that is compared with the threshold is above its swatch"
    assert np.ptp(curve[:, 1]) > 0.5 * WIDTH


def test_no_plot_offers_to_send_its_data_away(dark: Page, pages: dict[str, Path]) -> None:
    dark.goto(pages["report"].as_uri())
    until(dark, DRAWN)
    for frame in dark.frames:
        titles = frame.evaluate(TITLES)
        assert not [title for title in titles if "share" in title.lower()]
        assert titles.count("Save as PNG") == titles.count("Save as SVG") == titles.count("Pan")
    assert dark.evaluate(TITLES).count("Save as SVG") == len(figures()) == dark.locator(".plot").count()


@pytest.mark.parametrize("name", ["scores", "another's"])
def test_a_figure_saved_in_the_dark_is_dark_on_white(dark: Page, tmp_path: Path, name: str) -> None:
    path = tmp_path / "report.html"
    path.write_text(report_of(as_output(figures()[name])), encoding="utf-8")
    dark.goto(path.as_uri())
    until(dark, DRAWN)
    dark.locator(".plot").hover()
    with dark.expect_download() as download:
        dark.locator("[data-title='Save as PNG']").click()
    saved = Image.open(download.value.path()).convert("RGBA")
    pixels = np.asarray(saved)
    assert (pixels[..., 3] == 255).all(), "it has a background"
    assert (pixels[[0, -1], :, :3] == 255).all(), "a white one"
    assert len(ink_of(pixels[..., :3], INK)), "the text is dark"
    assert not len(ink_of(pixels[..., :3], "#e3e5ea", most=1)), "no text is as light as that of the page"


def test_a_link_to_a_moment_opens_the_player_there(dark: Page, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report_of({"text/html": make_player(title="my_clip.mp4").to_html()}), encoding="utf-8")
    dark.goto(f"{path.as_uri()}#t=3.5")
    shown = "document.querySelector('.mmduet-player-time')?.textContent.trim().split(' ')[0]"
    until(dark.frames[1], f"{shown} === '0:03.5'")
    dark.evaluate("location.hash = '#t=0:02'")
    until(dark.frames[1], f"{shown} === '0:02.0'")
    dark.evaluate("location.hash = '#t=soon'")
    assert dark.frames[1].evaluate(shown) == "0:02.0"
