import numpy as np
import pandas as pd
import pytest

from mmduet.plots import operating_figure, reliability_figure

TABLE = pd.DataFrame({"rate": [9.0, 3.0, 0.0], "F1": [0.4, 0.8, 0.0]}, index=pd.Index([0.1, 0.5, 0.9]))


def test_each_policy_has_a_line_and_each_point_a_mark():
    tried = {f"policy <{number}>": TABLE for number in range(8)}
    fig = operating_figure(tried, x="rate", y="F1", points={"chosen": (3.0, 0.8), "before": (9.0, 0.4)})
    lines, marks = fig.data[:8], fig.data[8:]
    assert [line.name for line in lines] == [f"policy &lt;{number}&gt;" for number in range(8)]
    assert len({(line.line.color, line.line.dash) for line in lines}) == 8, "each can be told from the others"
    assert all(list(line.x) == [9, 3, 0] and list(line.customdata) == [0.1, 0.5, 0.9] for line in lines)
    assert [(mark.name, mark.x[0], mark.y[0]) for mark in marks] == [("chosen", 3, 0.8), ("before", 9, 0.4)]
    assert len({mark.marker.symbol for mark in marks}) == 2


def test_the_size_of_a_mark_is_by_frames_and_a_scaled_curve_is_dashed():
    table = pd.DataFrame({"frames": [99, 1], "score": [0.1, 0.9], "frequency": [0.0, 1.0]})
    fig = reliability_figure({"informative": [table, table], "relevance": [table]}, label="in a span")
    diagonal, plain, scaled, other = fig.data
    assert list(diagonal.x) == [0, 1]
    assert (plain.name, scaled.name, other.name) == ("informative", "informative, scaled", "relevance")
    assert plain.line.dash == "solid"
    assert scaled.line.dash == "dash"
    assert plain.marker.size[0] > plain.marker.size[1]
    assert plain.line.color == scaled.line.color != other.line.color
    assert fig.layout.yaxis.title.text == "in a span"


@pytest.mark.parametrize("tables", [{}, {"reply": [pd.DataFrame({"frames": [], "score": [], "frequency": []})]}])
def test_without_frames_it_says_so(tables):
    fig = reliability_figure(tables, label="in a span")
    assert fig.layout.annotations[0].text == "no frames"
    assert not np.concatenate([np.zeros(0), *(trace.y for trace in fig.data[1:])]).size
