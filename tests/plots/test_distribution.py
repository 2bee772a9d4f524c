"""distribution_figure."""

import math

import numpy as np
import pytest

from mmduet import plots


def test_distributions_count_whole_numbers_one_by_one():
    fig = plots.distribution_figure([1, 1, 3, math.nan], "Turns", "turns")
    (bars,) = fig.data
    np.testing.assert_allclose(bars.x, [1, 2, 3])
    assert list(bars.y) == [2, 0, 1]
    assert fig.layout.title.text == "Turns (n = 3)"
    assert fig.layout.annotations[0].text == "median 1"


@pytest.mark.parametrize("values", [[], [2.5], [1.0, 1e9], np.linspace(0, 1, 500)])
def test_distributions_of_any_values(values):
    fig = plots.distribution_figure(values, "Durations", "s")
    assert sum(sum(bars.y) for bars in fig.data) == len(values)
    assert all(len(bars.x) <= 41 for bars in fig.data)
