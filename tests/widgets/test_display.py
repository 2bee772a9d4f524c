import pytest
from mmduet_widgets import display, show, showing


class Widget:
    def to_html(self):
        return "<p>without a kernel</p>"


class Drawn(Widget):
    """One that is made of figures and texts."""

    def __init__(self):
        self.parts = ["nothing yet"]

    def report(self):
        return self.parts


@pytest.fixture
def displayed(monkeypatch):
    """What is displayed."""
    seen = []
    monkeypatch.setattr(display, "display", lambda *shown, **_: seen.extend(shown))
    return seen


def test_a_live_notebook_gets_the_widget(displayed, monkeypatch):
    monkeypatch.delenv("MMDUET_REPORT", raising=False)
    widgets = [Widget(), Drawn()]
    for widget in widgets:
        show(widget)
    assert displayed == widgets


def test_a_report_gets_its_page_or_what_it_is_made_of(displayed, monkeypatch):
    monkeypatch.setenv("MMDUET_REPORT", "1")
    show(Widget())
    show(Drawn())
    page, part = displayed
    assert page["text/html"] == "<p>without a kernel</p>"
    assert part == "nothing yet"


def test_what_is_to_be_followed_is_shown_from_the_start(displayed, monkeypatch):
    monkeypatch.delenv("MMDUET_REPORT", raising=False)
    widget = Drawn()
    with showing(widget):
        assert displayed == [widget]
    assert displayed == [widget]


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
