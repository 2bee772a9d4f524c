import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from mmduet.errors import DuetError
from mmduet.evaluation.metrics.agreement import Agreement, agreement, agreement_of_times, align
from mmduet.trace import UNTIMED, DuetTrace, Response

SECONDS = st.lists(st.integers(0, 40).map(lambda step: step / 4), max_size=8).map(sorted)
TOLERANCES = st.integers(0, 12).map(lambda step: step / 4)


def trace(*times: float) -> DuetTrace:
    return DuetTrace.from_events([Response(time, "a cat") for time in times])


def test_by_hand():
    found = agreement(trace(1.0, 5.0, 20.0), trace(1.5, 9.0), tolerance=1.0)
    assert found == Agreement(matched=1, first=3, second=2)
    assert found.value == 2 / 5
    assert align([[1.0, 5.0], [1.5], [4.5, 5.25]], tolerance=1.0) == [(0, 0, None), (1, None, 0), (None, None, 1)]


def test_two_silent_models_have_nothing_to_agree_on():
    assert np.isnan(agreement(trace(), trace()).value)
    assert agreement(trace(1.0), trace()).value == 0


@given(SECONDS, SECONDS, TOLERANCES)
def test_as_many_pairs_as_there_can_be(first, second, tolerance):
    close = np.abs(np.subtract.outer(first, second)) <= tolerance
    most = int((maximum_bipartite_matching(csr_array(close.reshape(len(first), len(second)))) >= 0).sum())
    assert agreement_of_times(first, second, tolerance=tolerance).matched == most


@given(SECONDS, SECONDS, TOLERANCES)
def test_it_is_symmetric_and_grows_with_the_tolerance(first, second, tolerance):
    found = agreement_of_times(first, second, tolerance=tolerance)
    back = agreement_of_times(second, first, tolerance=tolerance)
    assert (found.matched, found.first, found.second) == (back.matched, back.second, back.first)
    assert found.matched <= agreement_of_times(first, second, tolerance=tolerance + 1).matched
    if first:
        assert agreement_of_times(first, first, tolerance=tolerance).value == 1


@given(st.lists(SECONDS, min_size=1, max_size=4), TOLERANCES)
def test_rows_hold_every_response_once_in_order_and_none_apart(times, tolerance):
    rows = align(times, tolerance=tolerance)
    for model, each in enumerate(times):
        assert [row[model] for row in rows if row[model] is not None] == list(range(len(each)))
    starts = []
    for row in rows:
        met = [each[index] for each, index in zip(times, row, strict=True) if index is not None]
        assert max(met) - min(met) <= tolerance
        starts.append(min(met))
    assert starts == sorted(starts)


@pytest.mark.parametrize("tolerance", [-1.0, float("nan")])
def test_a_tolerance_is_seconds(tolerance):
    with pytest.raises(DuetError, match="tolerance="):
        agreement(trace(), trace(), tolerance=tolerance)


@pytest.mark.parametrize("times", [[2.0, 1.0], [float("nan")]])
def test_times_ascend(times):
    with pytest.raises(DuetError, match="ascending"):
        align([times], tolerance=1.0)


def test_a_response_without_a_time_cannot_be_matched():
    with pytest.raises(DuetError, match=r"times=\[-1.0\]"):
        agreement(trace(UNTIMED), trace(1.0))
