"""replies_figure and differences_figure."""

import numpy as np

from mmduet import plots
from tests.plots.figures import HOSTILE, named, strings


def test_replies_in_time_and_others_are_apart():
    streams = [
        plots.Stream("a", 0.0, 20.0, due=[5.0, 15.0], times=[4.0, 9.0], texts=["x", "y"], matches=[0, None]),
        plots.Stream("b", 2.0, 9.0, due=[6.0], times=[], texts=[], matches=[None]),
    ]
    fig = plots.replies_figure(streams, tolerance=2.0)
    assert (named(fig, "in time").x, named(fig, "in time").y) == ((4.0,), (0,))
    assert (named(fig, "not due").x, named(fig, "not due").y) == ((9.0,), (0,))
    assert (named(fig, "missed").x, named(fig, "missed").y) == ((15.0, 6.0), (0, 1))
    bands = [(s.x0, s.x1) for s in fig.layout.shapes if s.type == "rect"]
    assert bands == [(3.0, 7.0), (13.0, 17.0), (4.0, 8.0)]
    assert list(fig.layout.yaxis.ticktext) == ["a", "b"]


def test_a_figure_without_streams_or_replies_says_so():
    assert plots.replies_figure([], tolerance=2.0).layout.annotations[0].text == "no stream"
    fig = plots.differences_figure({}, bounds=[2], limit=10, silent=["a"])
    assert fig.layout.annotations[0].text == "no reply"
    assert "1 question has no reply" in fig.layout.xaxis.title.text


def test_differences_stand_in_order_and_far_ones_at_the_edge():
    fig = plots.differences_figure({"late": 30.0, "early": -1.0, "exact": 0.0}, bounds=[1, 2], limit=10)
    (points,) = fig.data
    assert list(points.x) == [-1.0, 0.0, 10.0]
    assert "+30 s" in points.hovertext[2], "the label has the true value"
    assert len(set(points.marker.color)) == 2
    assert np.all(np.abs(points.x) <= 10)


def test_texts_are_never_markup():
    for text in HOSTILE:
        stream = plots.Stream(text, 0.0, 2.0, due=[1.0], times=[1.0], texts=[text], matches=[0])
        figures = [
            plots.replies_figure([stream], tolerance=1.0, title=text),
            plots.differences_figure({text: 0.0}, bounds=[1], limit=5, title=text),
        ]
        for fig in figures:
            assert not [s for s in strings(fig.to_plotly_json()) if text in s and "<" in text]
