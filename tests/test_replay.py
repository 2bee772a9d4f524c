"""Many thresholds at once: the same as one by one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.policy import HEADS, FrameScores, ScoreSum, ScoreThreshold
from mmduet.replay import need_scores, replay_thresholds, threshold_grid, with_threshold
from mmduet.trace import DuetTrace

scores = st.one_of(st.floats(0, 1), st.just(math.nan))
traces = st.lists(st.tuples(scores, scores), max_size=12).map(
    lambda pairs: DuetTrace(np.arange(len(pairs)) / 2, np.array([i for i, _ in pairs]), np.array([r for _, r in pairs]))
)
policies = st.builds(
    lambda kind, heads: kind(0.5, heads=heads),
    st.sampled_from([ScoreThreshold, ScoreSum]),
    st.sampled_from([("informative",), ("relevance",), HEADS]),
)
thresholds = st.lists(st.one_of(st.floats(-1, 4), st.just(math.inf)), max_size=5)


@given(st.lists(traces, max_size=4), policies, thresholds)
def test_replay_is_the_policy_frame_by_frame(traces, policy, thresholds):
    replayed = replay_thresholds(traces, policy, thresholds)
    assert len(replayed) == len(traces)
    for trace, spoken in zip(traces, replayed, strict=True):
        assert spoken.shape == (len(thresholds), len(trace))
        for threshold, row in zip(thresholds, spoken, strict=True):
            assert np.flatnonzero(row).tolist() == trace.replay(with_threshold(policy, threshold)).tolist()


def test_a_policy_in_use_keeps_its_sum():
    policy = ScoreSum(5.0, heads=HEADS)
    policy.need(FrameScores(0.0, 0.5, 0.25))
    other = with_threshold(policy, 2.0)
    assert (other.threshold, other.heads, policy.total) == (2.0, HEADS, 0.75)


def test_need_scores_add_the_heads():
    trace = DuetTrace(np.arange(2.0), np.array([0.25, 0.5]), np.array([0.5, 0.125]))
    np.testing.assert_array_equal(need_scores(trace, ("relevance",)), [0.5, 0.125])
    np.testing.assert_array_equal(need_scores(trace, HEADS), [0.75, 0.625])


@given(st.lists(traces, min_size=1, max_size=4), policies)
def test_a_grid_has_the_policys_own_threshold_and_ends_in_silence(traces, policy):
    grid = threshold_grid(traces, policy)
    assert grid == sorted(set(grid))
    assert policy.threshold in grid
    if not any(np.isnan(need_scores(trace, policy.heads)).any() for trace in traces):
        assert not any(spoken[-1].any() for spoken in replay_thresholds(traces, policy, grid))


@pytest.mark.parametrize("policy", [ScoreThreshold(math.inf), ScoreSum(math.inf)])
def test_never_speaking_has_a_place_of_its_own(policy):
    trace = DuetTrace(np.arange(3.0), np.array([0.2, 0.4, 0.6]), np.zeros(3))
    grid = threshold_grid([trace], policy)
    assert grid[-1] == math.inf
    assert len(grid) > 10
