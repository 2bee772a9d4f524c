import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmduet.policy import ScoreHysteresis, ScoreSum, ScoreThreshold, fine_thresholds, replay_thresholds
from mmduet.trace import DuetTrace
from tests.policies import Smoothed

videos = st.lists(arrays(float, st.integers(0, 40), elements=st.floats(0, 1, width=32)), min_size=1, max_size=4)
kinds = st.sampled_from([ScoreThreshold, ScoreSum, ScoreHysteresis, Smoothed])


def traces_of(scores):
    return [DuetTrace(np.arange(len(values)), values, np.zeros(len(values))) for values in scores]


@given(videos, kinds, st.integers(2, 50))
def test_they_ascend_and_the_last_one_is_silent(scores, kind, count):
    traces = traces_of(scores)
    found = fine_thresholds(kind(0.5), traces, count)
    assert 1 <= len(found) <= max(count, 2) + 1
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
    assert not any(speaks[-1].any() for speaks in replay_thresholds(kind(0.5), traces, found))


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=30, unique=True))
def test_few_scores_give_every_decision_that_is_possible(values):
    (trace,) = traces_of([np.array(values) / 10_000])
    (speaks,) = replay_thresholds(ScoreThreshold(0.5), [trace], fine_thresholds(ScoreThreshold(0.5), [trace], 100))
    assert sorted(speaks.sum(1)) == list(range(len(values) + 1))


def test_without_a_finite_score_there_is_one():
    assert fine_thresholds(ScoreThreshold(0.5), traces_of([np.array([math.nan])])).tolist() == [0.0]
    assert fine_thresholds(ScoreSum(0.5), traces_of([np.zeros(3)])).tolist() == [0.0]
