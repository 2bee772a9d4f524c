import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.policy import (
    HEADS,
    POLICIES,
    FrameScores,
    ScoreSum,
    ScoreThreshold,
    checked_policy,
    decision_scores,
    fresh_policy,
    has_threshold,
    make_policy,
    policy_mode,
    replay_thresholds,
    threshold_grid,
    threshold_policy,
)
from mmduet.streaming.session import DuetSession
from mmduet.trace import DuetTrace
from tests.policies import EveryThird, Smoothed

probability = st.floats(0, 1)


def run_heads(threshold, *, heads):
    return heads


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


@pytest.mark.parametrize("threshold", [math.nan, "0.5", None])
@pytest.mark.parametrize("kind", [ScoreSum, ScoreThreshold])
def test_what_is_no_number_is_no_threshold(kind, threshold):
    with pytest.raises(DuetError, match=f"threshold={threshold!r}: a threshold is a number"):
        kind(threshold)


# --- replays ------------------------------------------------------------------------------------------

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
    replayed = replay_thresholds(policy, traces, thresholds)
    assert len(replayed) == len(traces)
    for trace, speaks in zip(traces, replayed, strict=True):
        assert speaks.shape == (len(thresholds), len(trace))
        for threshold, row in zip(thresholds, speaks, strict=True):
            assert np.flatnonzero(row).tolist() == trace.replay(policy.with_threshold(threshold)).tolist()


def test_a_policy_in_use_keeps_its_sum():
    policy = ScoreSum(5.0, heads=HEADS)
    policy.need(FrameScores(0.0, 0.5, 0.25))
    other = policy.with_threshold(2.0)
    assert (other.threshold, other.heads, policy.total) == (2.0, HEADS, 0.75)


def test_decision_scores_add_the_heads():
    trace = DuetTrace(np.arange(2.0), np.array([0.25, 0.5]), np.array([0.5, 0.125]))
    np.testing.assert_array_equal(decision_scores(trace, ("relevance",)), [0.5, 0.125])
    np.testing.assert_array_equal(decision_scores(trace, HEADS), [0.75, 0.625])


@given(st.lists(traces, min_size=1, max_size=4), policies)
def test_a_grid_has_the_policys_own_threshold_and_ends_in_silence(traces, policy):
    grid = threshold_grid(policy, traces)
    assert grid == sorted(set(grid))
    assert policy.threshold in grid
    if not any(np.isnan(decision_scores(trace, policy.heads)).any() for trace in traces):
        assert not any(speaks[-1].any() for speaks in replay_thresholds(policy, traces, grid))


@pytest.mark.parametrize("policy", [ScoreThreshold(math.inf), ScoreSum(math.inf)])
def test_never_speaking_has_a_place_of_its_own(policy):
    trace = DuetTrace(np.arange(3.0), np.array([0.2, 0.4, 0.6]), np.zeros(3))
    grid = threshold_grid(policy, [trace])
    assert grid[-1] == math.inf
    assert len(grid) > 10


@given(traces, st.one_of(policies, st.builds(Smoothed, st.floats(0, 1))))
def test_the_decision_curve_exceeds_the_threshold_exactly_where_the_policy_speaks(trace, policy):
    curve = policy.decision_curve(trace)
    assert (curve.shape, curve.dtype) == ((len(trace),), np.float64)
    known = np.isfinite(curve)
    speaks = np.isin(np.arange(len(trace)), trace.replay(policy))
    assert (speaks == (curve > policy.threshold))[known].all()


@given(st.lists(traces, max_size=3), thresholds)
def test_replay_and_grid_have_defaults(traces, thresholds):
    policy = Smoothed(0.5)
    replayed = replay_thresholds(policy, traces, thresholds)
    for trace, speaks in zip(traces, replayed, strict=True):
        assert (speaks.shape, speaks.dtype) == ((len(thresholds), len(trace)), bool)
        for threshold, row in zip(thresholds, speaks, strict=True):
            assert np.flatnonzero(row).tolist() == trace.replay(Smoothed(threshold)).tolist()
    grid = threshold_grid(policy, traces)
    assert grid == sorted(set(grid))
    assert 0.5 in grid


def test_a_fresh_policy_leaves_the_one_in_use_alone():
    policy = Smoothed(0.5)
    policy.need(FrameScores(0.0, 1.0, 0.0))
    assert list(fresh_policy(policy).recent) == []
    assert list(policy.recent) == [1.0]


# --- by name ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [*(mode for mode in POLICIES if mode != "greedy"), "tests.policies:Smoothed"])
def test_a_policy_has_a_name_that_makes_it(mode):
    policy = make_policy(mode, 0.25, heads=("relevance",))
    assert (policy.threshold, policy.heads, policy_mode(policy)) == (0.25, ("relevance",), mode)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        (
            "loud",
            r"mode='loud' is not known: use one of \['greedy', 'hysteresis', 'sum', 'threshold'\], or module:OBJECT",
        ),
        ("no.such.module:Loud", "cannot be imported"),
        ("math:pi", "mode='math:pi' has type float"),
        ("tests.policies:EveryThird", r"must take \(threshold, heads=…\)"),
        ("builtins:dict", r"must take \(threshold, heads=…\)"),
        (f"{__name__}:run_heads", "is not a policy"),
    ],
)
def test_an_unknown_policy_is_refused(mode, message):
    with pytest.raises(DuetError, match=message):
        make_policy(mode, 0.5)


@pytest.mark.parametrize("policy", [object(), "sum", None, ScoreThreshold])
def test_an_object_without_need_and_reset_is_no_policy_anywhere(policy, tiny):
    trace = DuetTrace(np.arange(2.0), np.zeros(2), np.zeros(2))
    for use in (checked_policy, fresh_policy, trace.replay, lambda policy: threshold_policy(policy, "it")):
        with pytest.raises(DuetError, match="is not a policy"):
            use(policy)
    if policy is not None:
        with pytest.raises(DuetError, match="is not a policy"):
            DuetSession(*tiny, policy=policy)


def test_without_a_threshold_a_policy_replays_and_what_needs_one_says_so():
    trace = DuetTrace(np.arange(6.0), np.zeros(6), np.zeros(6))
    assert trace.replay(EveryThird()).tolist() == [2, 5]
    assert not has_threshold(EveryThird())
    with pytest.raises(DuetError, match=r"has no threshold, which a sweep needs: give it threshold, with_threshold"):
        threshold_policy(EveryThird(), "a sweep")
