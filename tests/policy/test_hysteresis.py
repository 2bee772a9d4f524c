import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.policy import FrameScores, ScoreHysteresis, ScoreThreshold, make_policy, policy_mode, replay_thresholds
from mmduet.trace import DuetTrace

scores = st.lists(st.floats(0, 1), max_size=30)
drops = st.floats(0, 0.5)
refractories = st.one_of(st.floats(0, 20), st.just(math.inf))


def trace_of(values, step=0.7):
    return DuetTrace(np.arange(len(values)) * step, np.array(values, dtype=float), np.zeros(len(values)))


def speaks(policy, values):
    return trace_of(values).replay(policy).tolist()


@given(scores, st.floats(0, 1), drops)
def test_without_refractory_time_it_is_a_threshold(values, threshold, drop):
    found = speaks(ScoreHysteresis(threshold, drop=drop, refractory=0), values)
    assert found == speaks(ScoreThreshold(threshold), values)


@given(scores, st.floats(0, 1), drops, refractories)
def test_two_responses_have_a_fall_or_the_refractory_time_between_them(values, threshold, drop, refractory):
    found = speaks(ScoreHysteresis(threshold, drop=drop, refractory=refractory), values)
    times = trace_of(values).times
    assert all(values[frame] > threshold for frame in found)
    spoken = set(found)
    last = None
    for frame, value in enumerate(values):
        fell = last is not None and min(values[last + 1 : frame + 1], default=1) <= threshold - drop
        due = last is None or fell or times[frame] - times[last] >= refractory
        assert (frame in spoken) == (value > threshold and due)
        last = frame if frame in spoken else last


@given(st.lists(scores, max_size=4), drops, refractories, st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_the_replay_at_many_thresholds_decides_as_frame_by_frame(videos, drop, refractory, thresholds):
    traces = [trace_of(values) for values in videos]
    policy = ScoreHysteresis(0.5, drop=drop, refractory=refractory)
    for trace, found in zip(traces, replay_thresholds(policy, traces, thresholds), strict=True):
        for threshold, row in zip(thresholds, found, strict=True):
            assert np.flatnonzero(row).tolist() == trace.replay(policy.with_threshold(threshold)).tolist()


def test_a_score_that_stays_high_speaks_once_in_a_refractory_time_and_a_new_rise_at_once():
    policy = make_policy("hysteresis", 0.5, options={"drop": 0.2, "refractory": 3})
    values = [0.6, 0.9, 0.4, 0.9, 0.9, 0.3, 0.6, 0.6]  # 0.4 is no fall of 0.2, 0.3 is one
    decided = [policy.need(FrameScores(float(time), value, 0.0)) for time, value in enumerate(values)]
    assert decided == [True, False, False, True, False, False, True, False]
    policy.reset()
    assert policy.need(FrameScores(0.0, 0.6, 0.0)), "a new video"


def test_its_options_survive_a_new_threshold():
    policy = make_policy("hysteresis", 0.5, heads=("relevance",), options={"refractory": 7})
    moved = policy.with_threshold(0.25)
    assert (moved.threshold, moved.heads, moved.options) == (0.25, ("relevance",), {"drop": 0.1, "refractory": 7})
    assert policy_mode(moved) == "hysteresis"


@pytest.mark.parametrize(("name", "value"), [("drop", -0.1), ("refractory", -1), ("refractory", math.nan)])
def test_options_out_of_range_are_refused(name, value):
    with pytest.raises(DuetError, match=rf"{name}={value}: must be a number of 0 or more"):
        ScoreHysteresis(0.5, **{name: value})


def test_an_option_that_a_policy_does_not_have_is_refused():
    with pytest.raises(DuetError, match=r"mode='threshold' must take \(threshold, heads=…, drop=…\)"):
        make_policy("threshold", 0.5, options={"drop": 0.1})
