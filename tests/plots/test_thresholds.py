"""threshold_figure."""

import math

import numpy as np

from mmduet import plots
from mmduet.policy import ScoreThreshold
from tests.plots.figures import examples_and_table


def test_figures_over_thresholds_stand_at_the_policys_and_the_slider_replays_every_example():
    policy = ScoreThreshold(0.5)
    examples, table = examples_and_table(policy)
    fig = plots.threshold_figure(table, examples, policy)
    assert [t.name for t in fig.data if t.meta] == ["a minute 3.00", "a rate 0.40", "threshold 0.5", "threshold 0.5",
        f"would speak {sum(len(e.trace.replay(policy)) for e in examples)}×"]  # fmt: skip
    assert fig.layout.yaxis2.domain[1] < fig.layout.yaxis.domain[0], "what exceeds 1 has a panel of its own"
    slider = fig.layout.sliders[0]
    assert slider.active == 1
    for step, threshold in zip(slider.steps, table.index, strict=True):
        change, indices = step.args
        assert [fig.data[i].meta is not None for i in indices] == [True] * 5
        assert change["x"][0] == [threshold]
        expected = [
            (example.trace.times[index], row + 0.5)
            for row, example in enumerate(examples)
            for index in example.trace.replay(ScoreThreshold(threshold))
        ]
        assert list(zip(change["x"][-1], change["y"][-1], strict=True)) == expected


def test_between_thresholds_figures_are_interpolated_and_beyond_them_unknown():
    policy = ScoreThreshold(0.5)
    examples, table = examples_and_table(policy)
    fig = plots.threshold_figure(table, examples, policy, slider=False)
    changes = plots.threshold_changes(fig, table, examples, ScoreThreshold(0.35))
    assert changes["name"][0] == "a minute 6.00"
    changes = plots.threshold_changes(fig, table, examples, ScoreThreshold(math.inf))
    assert changes["x"][0] == [None]
    assert changes["name"][0] == "a minute –"
    assert changes["name"][-1] == "would speak 0×"


def test_intervals_are_bands_around_their_curves():
    policy = ScoreThreshold(0.5)
    examples, table = examples_and_table(policy)
    fig = plots.threshold_figure(table, examples, policy, intervals=(table * 0.9, table * 1.1))
    bands = [t for t in fig.data if t.type == "scatter" and t.fill == "toself"]
    np.testing.assert_allclose(bands[0].y, [8.1, 2.7, 0, 0, 3.3, 9.9])
    assert len(bands[1].x) == 4, "where a figure is not known there is no band"
