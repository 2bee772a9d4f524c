import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.policy import FrameScores, ScoreSum, ScoreThreshold

probability = st.floats(0, 1)


def run(policy, values):
    policy.reset()
    return [policy.need(FrameScores(i, value, 1 - value)) for i, value in enumerate(values)]


@given(st.lists(probability), probability)
def test_threshold_speaks_exactly_above(values, threshold):
    assert run(ScoreThreshold(threshold), values) == [value > threshold for value in values]


def test_threshold_sums_the_chosen_heads():
    both = ScoreThreshold(1.5, heads=("informative", "relevance"))
    assert both.need(FrameScores(0, 0.8, 0.8))
    assert not both.need(FrameScores(0, 0.9, 0.6)), "1.5 does not exceed 1.5"
    assert ScoreThreshold(0.5, heads=("relevance",)).need(FrameScores(0, 0.0, 0.6))


def test_sum_restarts_with_each_response():
    assert run(ScoreSum(1.0), [0.5, 0.5, 0.25, 0.75, 0.5]) == [False, False, True, False, True]


@given(st.lists(probability), st.floats(0, 3))
def test_sum_spends_more_than_its_threshold_on_each_response(values, threshold):
    spoken = run(ScoreSum(threshold), values)
    assert sum(spoken) * threshold <= sum(values) + 1e-9
    total = 0.0
    for value, spoke in zip(values, spoken, strict=True):
        total += value
        assert spoke == (total > threshold)
        total = 0.0 if spoke else total


def test_reset_forgets_the_sum():
    policy = ScoreSum(1.0)
    policy.need(FrameScores(0, 0.9, 0))
    policy.reset()
    assert not policy.need(FrameScores(0, 0.9, 0))


@pytest.mark.parametrize("heads", [(), ("volume",), ("relevance", "relevance")])
def test_unknown_heads_are_refused(heads):
    with pytest.raises(DuetError, match="heads="):
        ScoreThreshold(0.5, heads=heads)


def test_nan_is_no_threshold():
    with pytest.raises(DuetError, match="nan"):
        ScoreSum(math.nan)
