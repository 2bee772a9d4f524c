import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.evaluation.metrics.bootstrap import bootstrap, estimate_differences, estimate_means, means


def test_means_and_their_intervals():
    values = np.random.default_rng(0).normal(5, 1, 400)
    estimate = estimate_means(pd.DataFrame({"a": values}))["a"]
    assert estimate.value == pytest.approx(values.mean())
    # the normal approximation: 1.96 standard errors to each side
    assert estimate.high - estimate.value == pytest.approx(1.96 * values.std() / 20, rel=0.15)
    assert estimate.value - estimate.low == pytest.approx(1.96 * values.std() / 20, rel=0.15)


def test_missing_cells_do_not_count():
    estimate = estimate_means(pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [7.0, 7.0, 7.0]}))
    assert estimate["a"].value == 2.0
    assert (estimate["b"].low, estimate["b"].high) == (7.0, 7.0)


def test_one_seed_one_interval():
    rows = pd.DataFrame({"a": np.arange(10.0)})
    assert estimate_means(rows, seed=1) == estimate_means(rows, seed=1) != estimate_means(rows, seed=2)


def test_of_any_statistic():
    estimate = bootstrap([1, 2, 3, 4, 100], lambda values: float(np.median(values)), draws=200)
    assert estimate.value == 3
    assert 1 <= estimate.low <= 3 <= estimate.high <= 100


@pytest.mark.filterwarnings("error")
def test_a_column_without_a_value_is_nan():
    estimates = estimate_means(pd.DataFrame({"a": [np.nan, np.nan], "b": [1.0, 1.0]}))
    assert np.isnan([estimates["a"].value, estimates["a"].low, estimates["a"].high]).all()
    assert estimates["b"].value == 1.0


def test_one_value_says_nothing_of_its_uncertainty():
    """Of one row; of one row with a value; and of any statistic."""
    table = pd.DataFrame({"one": [0.5, np.nan, np.nan], "weighed": [0.5, 1.0, 0.0], "all": [0.5, 1.0, 0.0]})
    found = estimate_means(table, weights={"weighed": pd.Series([1.0, 0.0, 0.0])})
    assert [str(found[name]) for name in ("one", "weighed")] == ["0.5 [–]", "0.5 [–]"]
    assert found["all"].low < found["all"].high
    assert str(estimate_means(table[:1])["all"]) == "0.5 [–]"
    assert str(bootstrap([3.0], np.mean)) == "3 [–]"
    assert str(estimate_means(table * np.nan)["all"]) == "–"


def test_without_columns_there_are_no_means():
    assert estimate_means(pd.DataFrame(index=[0, 1]), combined=lambda means: {"sum": means["a"] + means["b"]}) == {}


def test_weighted_means_and_their_intervals():
    """A row that stands for three counts as three rows do."""
    rows, weights = pd.DataFrame({"a": [1.0, 5.0, np.nan, 9.0], "b": [1.0, 2.0, 3.0, 6.0]}), pd.Series([1.0, 3, 2, 0])
    estimates = estimate_means(rows, weights={"a": weights})
    assert estimates["a"].value == (1 + 3 * 5) / 4
    assert (estimates["a"].low, estimates["a"].high) == (1, 5), "a row without weight is in no resample's mean"
    assert estimates["b"].value == 3, "a column without weights counts each row once"
    assert estimate_means(rows, weights={"a": 7 * weights})["a"].value == estimates["a"].value
    assert np.isnan(estimate_means(rows, weights={"a": 0 * weights})["a"].value)


def test_figures_can_be_made_of_means_in_every_resample():
    scores = pd.DataFrame({"a": [0.0, 1.0, np.nan], "b": [np.nan, np.nan, 4.0]})

    def combined(columns):
        return {"sum": columns["a"] + columns["b"]}

    found = estimate_means(scores, combined=combined)
    assert list(found) == ["a", "b", "sum"]
    assert found["sum"].value == 4.5
    assert (found["sum"].low, found["sum"].high) == (found["a"].low + 4, found["a"].high + 4)
    assert means(scores, combined=combined) == {"a": 0.5, "b": 4.0, "sum": 4.5}


def test_a_difference_is_paired():
    rng = np.random.default_rng(0)
    hard, gain = rng.normal(50, 20, 400), rng.normal(2, 1, 400)
    scores, baseline = pd.DataFrame({"a": hard + gain}), pd.DataFrame({"a": hard})
    found = estimate_differences(scores, baseline)["a"]
    assert found.value == pytest.approx(gain.mean())
    # 1.96 standard errors of the gain; those of the scores are 20 times as large
    assert found.high - found.value == pytest.approx(1.96 * gain.std() / 20, rel=0.15)


def test_a_difference_counts_the_questions_and_columns_of_both():
    scores = pd.DataFrame({"a": [1.0, 5.0, np.nan], "b": [0.0, 0.0, 0.0]}, index=["x", "y", "z"])
    baseline = pd.DataFrame({"a": [3.0, 9.0, 4.0], "c": [1.0, 1.0, 1.0]}, index=["z", "w", "x"])
    found = estimate_differences(scores, baseline)
    assert list(found) == ["a"]
    assert found["a"].value == 1.0 - 4.0, "x alone has both numbers"


TABLES = st.lists(st.tuples(*[st.floats(-100, 100)] * 2), min_size=2, max_size=12)


@given(TABLES)
def test_a_difference_turns_its_sign_and_is_none_from_itself(rows):
    table = pd.DataFrame(rows, columns=["a", "b"])
    for estimate in estimate_differences(table, table, draws=50).values():
        assert (estimate.value, estimate.low, estimate.high) == (0, 0, 0)
    other = table[::-1].set_index(table.index)
    there, back = (estimate_differences(*pair, draws=50) for pair in ((table, other), (other, table)))
    for name in table:
        assert there[name].value == pytest.approx(-back[name].value)
        assert there[name].low == pytest.approx(-back[name].high)
        assert there[name].value == pytest.approx((table[name] - other[name]).mean(), abs=1e-9)
        shifted = estimate_differences(table + 3.0, other, draws=50)[name]
        assert shifted.low == pytest.approx(there[name].low + 3.0)


def test_tables_without_a_pair_are_refused():
    table = pd.DataFrame({"a": [1.0]}, index=["x"])
    with pytest.raises(DuetError, match="none in common"):
        estimate_differences(table, table.set_axis(["y"]))
    with pytest.raises(DuetError, match="question 'x' has two rows"):
        estimate_differences(pd.concat([table, table]), table)
