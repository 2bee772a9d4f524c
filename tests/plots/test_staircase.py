"""staircase_figure."""

import math

import numpy as np
import pytest

from mmduet import plots
from mmduet.errors import DuetError
from mmduet.plots import ScoredSpan
from mmduet.trace import Query, Response

STEPS = [(2.0, 4.0, 0.5), (4.0, 6.0, 1.0), (6.0, 12.0, 2.0)]
SPAN = ScoredSpan(2.0, 12.0, "a cat", 0.75, STEPS, [(6.0, 1), (10.0, 2)])


def filled(fig):
    return [trace for trace in fig.data if trace.type == "scatter" and trace.fill == "tozeroy"]


def area(x, y):
    return float(np.trapezoid(y, x))


def test_the_area_is_that_of_the_steps():
    fig = plots.staircase_figure([SPAN], queries=[Query(0, "what?")], responses=[Response(6.0, "one")])
    (staircase,) = filled(fig)
    assert area(staircase.x, staircase.y) / 20 == pytest.approx(SPAN.value)
    assert (staircase.x[0], staircase.x[-1]) == (2, 12)
    assert [note.text for note in fig.layout.annotations] == ["0.75"]
    (circles,) = [trace for trace in fig.data if trace.name == "reply"]
    assert list(zip(circles.x, circles.y, strict=True)) == SPAN.replies
    (lines,) = [trace for trace in fig.data if trace.name == "from step to reply"]
    assert list(lines.x) == [4.0, 6.0, None, 6.0, 10.0, None]
    assert list(lines.y) == [1, 1, None, 2, 2, None]


def test_neighbours_have_different_colours():
    spans = [ScoredSpan(start, start + 5, "", 0.25, [(start, start + 5, 0.5)]) for start in (8.0, 0.0, 4.0)]
    found = filled(plots.staircase_figure(spans))
    assert [trace.x[0] for trace in found] == [0, 4, 8]
    assert found[0].line.color == found[2].line.color != found[1].line.color


@pytest.mark.parametrize("spans", [[], [ScoredSpan(3.0, 3.0, "at once", math.nan, replies=[(3.0, 1)])]])
def test_a_span_without_a_figure_has_no_number(spans):
    fig = plots.staircase_figure(spans, title="a title")
    assert not fig.layout.annotations
    assert fig.layout.title.text == "a title"


@pytest.mark.parametrize(
    ("span", "message"),
    [
        (ScoredSpan(3.0, 2.0, "", 0.0), "from 3 to 2 s"),
        (ScoredSpan(0.0, 2.0, "", 0.0, [(0.0, 2.0, 3.0)]), "with score 3: .* from 0 to 2"),
        (ScoredSpan(0.0, math.nan, "", 0.0), "from 0 to nan s"),
    ],
)
def test_what_cannot_be_drawn_is_refused(span, message):
    with pytest.raises(DuetError, match=message):
        plots.staircase_figure([span])
