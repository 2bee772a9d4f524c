"""Stills: a picture and words that need no script, and text as text."""

import base64

from bs4 import BeautifulSoup
from mmduet_widgets.still import page_with_still

from mmduet.reports.outputs import inert_html
from mmduet.trace import DuetTrace
from tests.widgets.players import ATTACK, make_player, make_trace, make_words

PAGE = '<iframe title="a page" srcdoc="&lt;p&gt;words&lt;/p&gt;"></iframe>'


def still(html: str) -> BeautifulSoup:
    """What is left where neither scripts nor styles nor frames are."""
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup.find_all(["iframe", "style", "script"]):
        tag.decompose()
    return soup


def test_a_still_has_the_curves_and_the_words_as_text() -> None:
    for trace in (make_trace(), make_words()):
        left = still(page_with_still(PAGE, trace=trace))
        assert "Trust Notebook" in left.get_text()
        assert left.img is not None
        picture = base64.b64decode(str(left.img["src"]).partition(",")[2]).decode()
        drawn = BeautifulSoup(picture, "html.parser").svg
        assert drawn is not None
        assert drawn["xmlns"] == "http://www.w3.org/2000/svg", "a browser shows no picture without it"
        assert [row.get_text() for row in left.select("tr td:last-child")] == ["What is there?", *_texts(trace)]
        assert not left.find_all(["script", "b"])


def _texts(trace: DuetTrace) -> list[str]:
    return [response.text for response in sorted(trace.responses, key=lambda response: response.time)]


def test_a_trace_without_scores_has_words_alone() -> None:
    words = DuetTrace.from_events([])
    words.responses = make_trace().responses
    left = still(page_with_still(PAGE, trace=words, texts=["<p>more</p>"]))
    assert left.img is None
    assert ATTACK in left.get_text()
    assert left.find_all("p")[-1].get_text() == "more"


def test_a_report_shows_the_page_and_leaves_the_still_out() -> None:
    shown = inert_html(page_with_still(PAGE, trace=make_trace()), "")
    soup = BeautifulSoup(shown, "html.parser")
    assert soup.iframe is not None
    assert "mmduet-still" not in "".join(str(tag) for tag in soup.find_all("div"))


def test_a_still_is_small_beside_its_page() -> None:
    player = make_player()
    page = player.to_html()
    assert len(page_with_still(page, trace=player.trace)) < 1.1 * len(page)
