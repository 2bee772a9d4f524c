"""Timing over thresholds, by hand and by law."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.evaluation.metrics.timing import RATE, TIMING, minutes_asked, responses_a_minute, sweep
from mmduet.evaluation.prediction_file import Prediction
from mmduet.policy import ScoreSum, ScoreThreshold
from mmduet.trace import DuetTrace, Query
from tests.policies import EveryThird


def predicted(name, informative, *, duration=30.0):
    """A frame a second."""
    informative = np.asarray(informative, dtype=float)
    trace = DuetTrace(np.arange(len(informative), dtype=float), informative, np.zeros(len(informative)))
    return Prediction(name, duration, trace)


TWO = {"a": predicted("a", [0.9, 0.1, 0.6, 0.1]), "b": predicted("b", [0.1, 0.7, 0.1, 0.7], duration=60.0)}
SPANS = {"a": [(0.0, 1.0, "first"), (1.5, 2.0, "second")], "b": [(3.0, 3.0, "last")]}


def test_figures_by_hand():
    table = sweep(TWO, SPANS, ScoreThreshold(0.5), [0.5, 0.8, 1.0]).table()
    assert list(table.columns) == [RATE, *TIMING]
    np.testing.assert_allclose(table[RATE], [4 / 1.5, 1 / 1.5, 0])
    np.testing.assert_allclose(table["timing precision"], [3 / 4, 1, math.nan])
    np.testing.assert_allclose(table["timing recall"], [1, 1 / 3, 0])
    np.testing.assert_allclose(table["timing F1"], [6 / 7, 0.5, math.nan])


def test_in_overlapping_spans_one_response_recalls_both():
    spans = {"a": [(0.0, 2.0, "x"), (0.0, 0.5, "y")]}
    swept = sweep({"a": TWO["a"]}, spans, ScoreThreshold(0.5), [0.5])
    assert (swept.responses.item(), swept.correct.item(), swept.recalled.item()) == (2, 2, 2)


def test_questions_without_spans_count_for_speed_alone():
    table = sweep(TWO, {"a": SPANS["a"]}, ScoreThreshold(0.5), [0.5]).table()
    assert table[RATE].item() == pytest.approx(4 / 1.5)
    assert table["timing precision"].item() == 1.0
    assert list(sweep(TWO, {}, ScoreThreshold(0.5), [0.5]).table().columns) == [RATE]


def test_only_the_time_from_the_question_on_counts():
    asked = predicted("a", [0.9, 0.1, 0.6, 0.1])
    asked.trace.queries = [Query(9.0, "And now?"), Query(2.0, "What?")]
    swept = sweep({"a": asked}, SPANS, ScoreThreshold(0.5), [0.5])
    assert swept.minutes.item() == (30 - 2) / 60
    assert (swept.responses.item(), swept.correct.item(), swept.recalled.item()) == (1, 1, 1)
    assert minutes_asked(Prediction("late", 1.0, asked.trace)) == 0


def test_a_metric_is_asked_once_for_each_different_set_of_responses():
    asked = []

    def latest(name, times):
        asked.append((name, times.tolist()))
        return float(times[-1]) / 10 if len(times) else math.nan

    table = sweep(TWO, {}, ScoreThreshold(0.5), [0.5, 0.55, 0.8, 1.0], metrics={"latest": latest}).table()
    assert asked == [("a", [0, 2]), ("a", [0]), ("a", []), ("b", [1, 3]), ("b", [])]
    np.testing.assert_allclose(table["latest"], [0.25, 0.25, 0, math.nan])


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=8), min_size=1, max_size=4),
    st.sampled_from([ScoreThreshold(0.5), ScoreSum(1.0)]),
)
def test_counts_are_those_of_a_replay_and_rates_are_shares(scores, policy):
    predictions = {str(i): predicted(str(i), row) for i, row in enumerate(scores)}
    spans = {name: [(1.0, 3.0, ""), (5.0, 6.0, "")] for name in predictions}
    swept = sweep(predictions, spans, policy, [0.1, 0.7, 2.0])
    for row, prediction in enumerate(predictions.values()):
        for column, threshold in enumerate(swept.thresholds):
            times = prediction.trace.times[prediction.trace.replay(type(policy)(threshold))]
            assert swept.responses[row, column] == len(times)
            assert swept.correct[row, column] == sum(1 <= time <= 3 or 5 <= time <= 6 for time in times)
    table, (low, high) = swept.table(), swept.intervals(draws=50)
    assert not ((table[list(TIMING)] < 0) | (table[list(TIMING)] > 1)).any(axis=None)
    assert not (low > high).any(axis=None)


def test_intervals_hold_the_figure_and_vanish_for_one_question():
    many = {str(i): predicted(str(i), np.random.default_rng(i).random(20)) for i in range(30)}
    swept = sweep(many, {name: [(2.0, 9.0, "")] for name in many}, ScoreThreshold(0.5), [0.3, 0.6])
    low, high = swept.intervals()
    table = swept.table()
    assert (low <= table).all(axis=None)
    assert (table <= high).all(axis=None)
    assert (low < high)[[RATE, "timing precision"]].all(axis=None)
    one = sweep({"a": TWO["a"]}, SPANS, ScoreThreshold(0.5), [0.5])
    for end in one.intervals():
        np.testing.assert_allclose(end, one.table())


def test_predictions_without_scores_are_left_out_and_all_of_them_are_an_error():
    baseline = Prediction("c", 30.0, DuetTrace.from_events([]), segments=[])
    assert sweep(TWO | {"c": baseline}, SPANS, ScoreThreshold(0.5), [0.5]).questions == ("a", "b")
    with pytest.raises(DuetError, match="none of 1 predictions has frame scores"):
        sweep({"c": baseline}, {}, ScoreThreshold(0.5), [0.5])


@pytest.mark.parametrize(("policy", "message"), [(object(), "is not a policy"), (EveryThird(), "has no threshold")])
def test_a_policy_without_a_threshold_is_refused(policy, message):
    with pytest.raises(DuetError, match=message):
        sweep(TWO, SPANS, policy, [0.5])


def test_responses_a_minute_need_a_length():
    assert responses_a_minute(3, 30.0) == 6.0
    for duration in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(DuetError, match="duration="):
            responses_a_minute(3, duration)
