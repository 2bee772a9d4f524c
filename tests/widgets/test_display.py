import pytest
from IPython.display import HTML
from mmduet_widgets import display, show


class Widget:
    def to_html(self):
        return "<p>without a kernel</p>"


@pytest.fixture
def displayed(monkeypatch):
    seen = []
    monkeypatch.setattr(display, "display", seen.append)
    return seen


def test_a_live_notebook_gets_the_widget(displayed, monkeypatch):
    monkeypatch.delenv("MMDUET_REPORT", raising=False)
    widget = Widget()
    show(widget)
    assert displayed == [widget]


def test_a_report_gets_its_page(displayed, monkeypatch):
    monkeypatch.setenv("MMDUET_REPORT", "1")
    show(Widget())
    assert isinstance(displayed[0], HTML)
    assert displayed[0].data == "<p>without a kernel</p>"
