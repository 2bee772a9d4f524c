import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmduet.evaluation.metrics.reliability import at_temperature, calibration_error, fit_temperature, reliability

SCORES = st.integers(1, 60).flatmap(
    lambda n: st.tuples(arrays(float, n, elements=st.floats(0, 1)), arrays(bool, n, elements=st.booleans()))
)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_temperature_that_was_put_in_is_found(temperature):
    rng = np.random.default_rng(0)
    right = rng.uniform(0, 1, 20_000)
    labels = rng.uniform(0, 1, len(right)) < right
    scores = at_temperature(right, 1 / temperature)
    found = fit_temperature(scores, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    assert calibration_error(at_temperature(scores, found), labels) < 0.02


@given(SCORES)
def test_the_table_holds_every_frame(pair):
    scores, labels = pair
    table = reliability(scores, labels)
    assert table["frames"].sum() == len(scores)
    assert (table["frames"] * table["score"]).sum() == pytest.approx(scores.sum())
    assert (table["frames"] * table["frequency"]).sum() == pytest.approx(labels.sum())
    assert 0 <= calibration_error(scores, labels) <= 1


@given(SCORES, st.floats(0.1, 10))
def test_a_temperature_keeps_the_order_of_scores(pair, temperature):
    scores, _ = pair
    ordered = np.sort(scores)
    assert (np.diff(at_temperature(ordered, temperature)) >= 0).all()


def test_by_hand():
    scores, labels = np.array([0.1, 0.1, 0.9, 0.9]), np.array([False, True, True, True])
    assert calibration_error(scores, labels, bins=2) == pytest.approx((2 * 0.4 + 2 * 0.1) / 4)
    assert calibration_error(np.empty(0), np.empty(0, dtype=bool)) == 0


def test_a_head_that_says_the_opposite_has_no_temperature():
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    assert fit_temperature(scores, np.array([True, True, False, False])) == math.inf
    assert math.isnan(fit_temperature(scores, np.zeros(4, dtype=bool)))
    assert at_temperature(scores, math.inf).tolist() == [0.5] * 4
