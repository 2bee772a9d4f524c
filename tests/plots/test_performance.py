"""stages_figure and latency_figure."""

import numpy as np
import pytest

from mmduet import plots
from mmduet.errors import DuetError
from mmduet.plots.colors import INK


def test_stages_are_stacked_a_bar_a_run():
    fig = plots.stages_figure({"a": {"decode": 1.0, "rest": 2.0}, "b": {"decode": 3.0, "rest": 4.0}})
    assert [bar.name for bar in fig.data] == ["decode", "rest"]
    assert [bar.marker.color for bar in fig.data] == [None, INK]
    assert [list(bar.x) for bar in fig.data] == [[1.0, 3.0], [2.0, 4.0]]
    assert fig.layout.barmode == "stack"
    with pytest.raises(DuetError, match="no runs"):
        plots.stages_figure({})


def test_latencies_are_a_curve_and_a_histogram_with_their_percentiles():
    waits = np.r_[np.linspace(10, 20, 99), 60.0]
    fig = plots.latency_figure(waits, title="Latency")
    curve, bars = fig.data
    assert np.array_equal(curve.y, waits)
    assert sum(bars.x) == 100
    assert bars.orientation == "h"
    assert fig.layout.yaxis2.matches == "y", "both count ms on one axis"
    texts = [note.text for note in fig.layout.annotations]
    assert texts == [f"p{percent} {np.percentile(waits, percent):.3g} ms" for percent in (50, 95)]
    lines = {shape.y0 for shape in fig.layout.shapes}
    assert lines == {np.percentile(waits, 50), np.percentile(waits, 95)}
    assert len(plots.latency_figure([12.5]).data) == 2
    with pytest.raises(DuetError, match="no latencies"):
        plots.latency_figure([])
