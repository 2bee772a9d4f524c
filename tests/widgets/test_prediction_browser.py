"""PredictionBrowser on a small `scenes`."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from mmduet_widgets import PredictionBrowser, prediction_browser

from mmduet.errors import DuetError
from mmduet.evaluation import YOUCOOK2, evaluate
from mmduet.evaluation.response_timing import METRICS
from mmduet.trace import Response

ATTACK = '<img src=x onerror="window.ran=1"></script>'


@pytest.fixture(scope="module")
def result(tmp_path_factory, tiny, ready_meteor):
    folder = tmp_path_factory.mktemp("data")
    given = {"settings": {"max_frames": 6, "threshold": 0.4, "max_new_tokens": 2}, "output": folder}
    return evaluate.run(YOUCOOK2, tiny, *evaluate.scenes(YOUCOOK2, folder, clips=3), **given)


@pytest.fixture
def browser(result, monkeypatch):
    monkeypatch.setattr(prediction_browser, "PAGE", 2)
    return PredictionBrowser(result)


def cards(browser):
    """The text of each displayed card."""
    grid = browser.children[1]
    return [BeautifulSoup(card.children[0].value, "html.parser").get_text(" ") for card in grid.children]


def test_each_prediction_has_a_picture_its_question_and_its_clip(browser, result):
    assert browser.names == list(result.predictions)
    shown = cards(browser)
    assert len(shown) == 2
    for name, card, box in zip(browser.names, shown, browser.children[1].children, strict=False):
        trace = result.predictions[name].trace
        assert trace.queries[0].text[:40] in card
        assert f"{result.references[name].video}, {len(trace.responses)} response" in card
        picture = BeautifulSoup(box.children[0].value, "html.parser").svg
        assert picture.image["href"].startswith("data:image/webp;base64,")
    assert browser.children[0].children[-1].value == "1 to 2 of 3"


@pytest.mark.parametrize("descending", [True, False])
def test_any_figure_sorts(browser, descending):
    assert {"F1", *METRICS} & set(browser.figures)
    for name in browser.figures:
        browser.descending, browser.order = descending, name
        found = browser.table.loc[browser.matches, name].dropna().tolist()
        assert found == sorted(found, reverse=descending)
        assert sorted(browser.matches) == sorted(browser.names)
        assert all(name in card for card in cards(browser))


def test_words_filter_and_pages_turn(browser, result):
    browser.page = 1
    assert len(cards(browser)) == 1
    browser.page = 7
    assert browser.page == 1, "there is no page 7"
    last = browser.names[-1]
    browser.text = str(result.references[last].video).upper()
    assert browser.matches == [last]
    assert (browser.page, len(cards(browser))) == (0, 1)
    browser.text = "nobody says this"
    assert cards(browser) == []
    assert browser.children[0].children[-1].value == "no matches"


def test_a_prediction_is_opened_with_its_policy_and_spans(browser, result):
    name = browser.names[1]
    browser.children[1].children[1].children[1].click()
    assert browser.opened == name
    (view,) = browser.children[2].children
    assert view.trace is result.predictions[name].trace
    browser.opened = ""
    assert browser.children[2].children == ()


def test_spans_need_no_labels(result):
    items = {
        name: SimpleNamespace(video=item.video, spans=[(start, end) for start, end, _ in item.spans])
        for name, item in result.references.items()
    }
    browser = PredictionBrowser(replace(result, references=items))
    browser.opened = browser.names[0]
    (view,) = browser.children[2].children
    assert [span["label"] for span in view.spans] == [""] * len(items[browser.opened].spans)


def test_unknown_names_are_refused(browser):
    with pytest.raises(DuetError, match="order='loud'"):
        browser.order = "loud"
    with pytest.raises(DuetError, match="opened='nobody'"):
        browser.opened = "nobody"


def test_texts_are_never_markup_and_a_missing_clip_has_its_curves(result, monkeypatch):
    name = next(iter(result.predictions))
    trace = result.predictions[name].trace
    said = [*trace.responses, Response(float(trace.times[-1]), ATTACK)]
    monkeypatch.setattr(trace, "responses", said)
    monkeypatch.setattr(result.references[name], "video", f"{ATTACK}.mp4")
    page = PredictionBrowser(result).to_html()
    document = BeautifulSoup(BeautifulSoup(page, "html.parser").iframe["srcdoc"], "html.parser")
    assert not [image for image in document.find_all("img") if image.get("src") == "x"]
    assert document.svg is not None
