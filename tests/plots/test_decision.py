"""The curve that a policy compares with its threshold."""

import numpy as np
import pytest

from mmduet.plots import compared_curves
from mmduet.policy import HEADS, Greedy, ScoreHysteresis, ScoreSum, ScoreThreshold
from tests.plots.figures import make_trace, make_words
from tests.policies import EveryThird, Smoothed

OF_HEADS = [
    (ScoreThreshold(0.4), "informative"),
    (ScoreThreshold(0.4, heads=("relevance",)), "relevance"),
    (ScoreThreshold(1.2, heads=HEADS), "informative + relevance"),
    (ScoreHysteresis(0.4), "informative"),
    (ScoreSum(1.7), "running sum"),
    (ScoreSum(2.0, heads=HEADS), "running sum"),
    (Smoothed(0.4), "decision score"),
]


@pytest.mark.parametrize(("policy", "name"), OF_HEADS)
def test_the_line_is_drawn_over_the_one_curve_that_is_compared_with_it(policy, name):
    trace = make_trace(responses=())
    curves, level = compared_curves(trace, policy)
    assert list(curves) == [name]
    assert level == policy.threshold
    speaks = set(trace.replay(policy).tolist())
    above = set(np.flatnonzero(curves[name] > level).tolist())
    assert speaks <= above
    assert speaks or not above


@pytest.mark.parametrize("policy", [Greedy(), EveryThird()])
@pytest.mark.parametrize("trace", [make_trace(), make_words()])
def test_without_a_threshold_each_score_is_drawn_and_no_line(policy, trace):
    curves, level = compared_curves(trace, policy)
    assert tuple(curves) == trace.heads
    assert level is None


def test_a_model_that_decides_in_words_has_one_curve():
    curves, level = compared_curves(make_words(), ScoreThreshold(0.4))
    assert (list(curves), level) == (["reply"], 0.4)
