"""Digits: as many as an interval justifies."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.evaluation.metrics.bootstrap import Estimate
from mmduet.evaluation.metrics.digits import decimals


@given(low=st.floats(-1000, 1000), width=st.floats(1e-6, 1000), most=st.integers(0, 6))
def test_the_last_digit_is_at_most_a_third_of_the_half_width_and_the_next_one_too_few(low, width, most):
    count = decimals(low, low + width, most=most)
    half = ((low + width) - low) / 2
    assert 0 <= count <= most
    assert count == most or 10.0**-count <= half / 3 * (1 + 1e-6)
    assert count == 0 or 10.0 ** -(count - 1) > half / 3 * (1 - 1e-6)


@pytest.mark.parametrize(("questions", "count"), [(6, 1), (60, 2), (600, 2), (6000, 3)])
def test_more_questions_give_more_digits(questions, count):
    half = 1.96 * math.sqrt(0.25 / questions)  # of a share of a half
    assert decimals(0.5 - half, 0.5 + half, most=3) == count


@pytest.mark.parametrize(("value", "count"), [(1.0, 0), (0.5, 1), (1 / 3, 3)])
def test_an_interval_without_width_has_the_digits_of_its_value(value, count):
    assert decimals(value, value, most=3) == count


def test_an_unknown_interval_does_not_shorten_anything():
    assert decimals(np.nan, np.nan, most=2) == 2
    assert str(Estimate(0.58333, 0.17, 0.92)) == "0.6 [0.2, 0.9]"
    assert str(Estimate(0.58333, math.nan, math.nan)) == "0.583 [–]"
    assert str(Estimate(math.nan, math.nan, math.nan)) == "–"
