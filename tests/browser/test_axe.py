"""The checks that other tests trust: they find what is wrong, in frames as well, and nothing else."""

from pathlib import Path

import pytest

from tests.browser.axe import findings, wider_than_page
from tests.chromium import Page, until

POLICY = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
HEAD = f'<!DOCTYPE html><html lang="en"><head><title>A page</title>{POLICY}</head>'
GOOD = f"{HEAD}<body><main><h1>A page</h1><p>Words</p></main></body>"


@pytest.fixture
def opened(page: Page, tmp_path: Path):
    """Opens a page from disk."""

    def open_page(content: str) -> Page:
        path = tmp_path / "page.html"
        path.write_text(content, encoding="utf-8")
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(path.as_uri())
        until(page, "document.readyState === 'complete'")
        return page

    return open_page


def test_a_good_page_has_no_finding(opened) -> None:
    shown = opened(GOOD)
    assert findings(shown) == []
    assert wider_than_page(shown) == []


def test_faint_text_and_a_nameless_button_are_found_in_the_page_and_in_its_frame(opened) -> None:
    faint = '<p style="color: #bbb; background: #fff">faint</p>'
    inner = f"{HEAD}<body><button></button></body>".replace("&", "&amp;").replace('"', "&quot;")
    shown = opened(
        GOOD.replace("<p>", f'{faint}<iframe title="t" sandbox="allow-scripts" srcdoc="{inner}"></iframe><p>')
    )
    found = findings(shown)
    assert [line.split()[0] for line in found] == ["color-contrast", "button-name"]
    assert findings(shown, within="h1") == []
    assert findings(shown, impacts=("critical",)) == found[1:]


def test_what_is_wider_than_the_page_is_found_unless_it_scrolls_by_itself(opened) -> None:
    wide = '<div class="wide" style="width: 600px; height: 9px"></div>'
    assert wider_than_page(opened(GOOD.replace("<p>", f"{wide}<p>"))) == ["div.wide ends at 608 px of 390"]
    assert wider_than_page(opened(GOOD.replace("<p>", f'<div style="overflow-x: auto">{wide}</div><p>'))) == []
