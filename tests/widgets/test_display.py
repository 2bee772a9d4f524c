from types import SimpleNamespace

import pytest
from mmduet_widgets import display, show, showing

VIEW = "application/vnd.jupyter.widget-view+json"


class Widget:
    page = "<p>without a kernel</p>"

    def to_html(self):
        return self.page

    def _repr_mimebundle_(self):
        return {VIEW: {"model_id": "1"}, "text/plain": "Widget()"}


class Drawn(Widget):
    """One that is made of figures and texts, with the bundle of an anywidget."""

    def __init__(self):
        self.parts = ["nothing yet"]

    def report(self):
        return self.parts

    def _repr_mimebundle_(self):
        return super()._repr_mimebundle_(), {}


@pytest.fixture
def displayed(monkeypatch):
    """What is displayed, one after the other; what an update shows stands in the place of the first."""
    seen = []

    def display_one(*shown, display_id=False, raw=False):
        place = len(seen)
        seen.extend(shown)
        return SimpleNamespace(update=lambda new, raw: seen.__setitem__(place, new)) if display_id else None

    monkeypatch.setattr(display, "display", display_one)
    return seen


@pytest.mark.parametrize("widget", [Widget(), Drawn()])
def test_a_live_notebook_gets_the_widget_and_its_page(displayed, monkeypatch, widget):
    monkeypatch.delenv("MMDUET_REPORT", raising=False)
    show(widget)
    [bundle] = displayed
    page = bundle.pop("text/html")
    assert bundle == {VIEW: {"model_id": "1"}, "text/plain": "Widget()"}
    assert widget.page in page
    assert "mmduet-still" in page


def test_a_report_gets_its_page_or_what_it_is_made_of(displayed, monkeypatch):
    monkeypatch.setenv("MMDUET_REPORT", "1")
    show(Widget())
    show(Drawn())
    page, part = displayed
    assert page["text/html"] == "<p>without a kernel</p>"
    assert part == "nothing yet"


def test_what_is_to_be_followed_is_shown_from_the_start_and_its_page_at_the_end(displayed, monkeypatch):
    monkeypatch.delenv("MMDUET_REPORT", raising=False)
    widget = Drawn()
    with showing(widget):
        assert ["<p>without a kernel</p>" in bundle["text/html"] for bundle in displayed] == [True]
        widget.page = "<p>all of it</p>"
    assert ["<p>all of it</p>" in bundle["text/html"] for bundle in displayed] == [True]


def test_a_report_gets_it_at_the_end_even_of_what_failed(displayed, monkeypatch):
    monkeypatch.setenv("MMDUET_REPORT", "1")
    widget = Drawn()

    def fail():
        with showing(widget):
            assert displayed == []
            widget.parts = ["what there was"]
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        fail()
    assert displayed == ["what there was"]
