import numpy as np
import pandas as pd

from mmduet.evaluation.metrics.bootstrap import Estimate
from mmduet.evaluation.table import PAPER, beside_published, best_and_worst


def test_our_row_stands_first_with_its_intervals():
    table = beside_published(
        {"a": Estimate(1.26, 1.0, 2.0), "b": Estimate(5.0, 4.0, 6.0)},
        {"Other": {"a": 18}},
        metrics=["b", "a"],
        name="this run",
    )
    assert list(table.index) == ["this run", "Other"]
    assert list(table.columns) == ["b", "a", "source"]
    assert table.loc["this run", "a"] == "1.3 [1.0, 2.0]"
    assert table.loc["Other"].to_list() == ["–", "18.0", PAPER]


def test_best_come_first_then_worst_each_once():
    scores = pd.Series({"x": 1.0, "y": np.nan, "z": 3.0, "w": 2.0})
    assert best_and_worst(scores, 1) == ["z", "x"]
    assert best_and_worst(scores, 2) == ["z", "w", "x"]
    assert best_and_worst(scores, 0) == []


def test_units_stand_in_the_columns_names():
    table = beside_published({"a": Estimate(1.0, 1.0, 1.0)}, {}, metrics=["a"], name="x", units={"a": "%", "b": "s"})
    assert list(table.columns) == ["a (%)", "source"]


def test_a_figure_that_was_not_measured_is_a_dash():
    nothing = Estimate(float("nan"), float("nan"), float("nan"))
    table = beside_published({"a": nothing}, {"Other": {"a": 2}}, metrics=["a"], name="x")
    assert table["a"].to_list() == ["–", "2.0"]
