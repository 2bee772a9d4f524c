"""Metrics: what they are, and how they read."""

from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from mmduet.errors import DuetError
from mmduet.reports import metrics


@pytest.mark.parametrize("value", ["0.9", None, True, (0.1, 0.2), (0.1, "a", 0.2)])
def test_a_metric_is_a_number_or_three(value: object) -> None:
    with pytest.raises(DuetError, match="metric 'AUC' is"):
        metrics.Metric.of("AUC", value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.98765, "0.988"), (1.0, "1.000"), (3, "3"), (1312, "1,312"), (52.456, "52.46"), (1234.5, "1,234.5"),
     (0.00001, "1.0e-05"), (0.0, "0.000"), (float("nan"), "–"), (-0.25, "-0.250")],
)  # fmt: skip
def test_numbers_are_rounded_for_reading(value: float, text: str) -> None:
    assert metrics.Metric.of("x", value).text == text


@pytest.mark.parametrize(
    ("numbers", "text", "interval"),
    [((0.5833, 0.17, 0.92), "0.6", "0.2 – 0.9"), ((0.5833, 0.57, 0.6), "0.583", "0.570 – 0.600"),
     ((52.456, 31.0, 74.0), "52", "31 – 74"), ((1.0, 1.0, 1.0), "1", "1 – 1"), ((7, 5, 9), "7", "5 – 9"),
     ((-6, -12, 0), "-6", "-12 to 0"), ((-0.5, -0.9, -0.1), "-0.5", "-0.9 to -0.1"), ((1.0, -0.3, 9.0), "1", "0 – 9")],
)  # fmt: skip
def test_a_number_has_the_digits_that_its_interval_justifies(
    numbers: tuple[float, float, float], text: str, interval: str
) -> None:
    metric = metrics.Metric.of("x", numbers)
    assert (metric.text, metric.interval) == (text, interval)


def test_of_one_name_the_last_metric_counts() -> None:
    def cell(value: float) -> Any:
        rows = [metrics.Metric.of("AUC", (value, 0.1, 0.9))._asdict()]
        output = new_output("display_data", data={metrics.MIMETYPE: {"metrics": rows, "caption": ""}})
        return new_code_cell("x", outputs=[output])

    found = metrics.recorded_metrics(new_notebook(cells=[cell(0.2), cell(0.5)]))
    assert [(metric.value, metric.interval) for metric in found] == [(0.5, "0.1 – 0.9")]
