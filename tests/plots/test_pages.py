"""paged_figure."""

from mmduet import plots
from mmduet.trace import Query
from tests.plots.figures import make_trace, pictures


def test_pages_show_one_figure_at_a_time():
    trace = make_trace(6, queries=[Query(0.0, "now?")])
    pages = [
        ("first", plots.label_figure(trace.times, frames=pictures(6), title="one")),
        ("<b>", plots.label_figure(trace.times, turns=trace.queries, title="two")),
    ]
    fig = plots.paged_figure(pages, shown=1)
    assert fig.layout.title.text == "two"
    menu = fig.layout.updatemenus[0]
    assert (menu.active, menu.buttons[1].label) == (1, "&lt;b&gt;")
    for number, button in enumerate(menu.buttons):
        visible, layout = button.args
        kept = [t for t, v in zip(fig.data, visible["visible"], strict=True) if v]
        assert [t.name for t in kept] == [t.name for t in pages[number][1].data]
        assert len(layout["images"]) == len(pages[number][1].layout.images)
        assert len(layout["shapes"]) == len(pages[number][1].layout.shapes)
    assert [t.visible for t in fig.data] == list(menu.buttons[1].args[0]["visible"])


def test_one_page_needs_no_buttons():
    fig = plots.label_figure(make_trace(3).times)
    assert plots.paged_figure([("alone", fig)]) is fig
