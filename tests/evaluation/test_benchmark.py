"""What every built-in benchmark states, and how benchmarks are found."""

import re
from pathlib import Path
from typing import Annotated

import pytest

from mmduet.errors import DuetError
from mmduet.evaluation import BENCHMARKS, find_benchmark
from mmduet.evaluation.option import Option, options_of


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
def test_a_benchmark_states_units_directions_and_published_figures_of_its_metrics(benchmark):
    assert BENCHMARKS[benchmark.name] is benchmark
    assert set(benchmark.headline) <= set(benchmark.metrics)
    assert {metric for row in benchmark.published.values() for metric in row} <= set(benchmark.metrics)
    assert all(metric.unit for metric in benchmark.metrics.values())
    assert {metric.better for metric in benchmark.metrics.values()} <= {"higher", "lower", None}
    assert benchmark.options
    assert all(option.help.endswith((".", "…")) for option in benchmark.options.values())


def test_no_other_module_names_the_built_in_benchmarks():
    """Commands, prediction and tables take benchmarks from the dict, or are given one."""
    package = Path(__file__).resolve().parents[2] / "mmduet"
    others = [
        *(package / "cli").glob("*.py"),
        *(package / "evaluation").glob("*.py"),
        *(package / "reports").glob("*.py"),
    ]
    assert len(others) > 20
    found = [
        (path.name, name)
        for path in others
        for name in BENCHMARKS
        if f'"{name}"' in path.read_text() and path.name != "__init__.py"
    ]
    assert found == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("coin", re.escape(f"benchmark='coin' is not known: use one of {sorted(BENCHMARKS)}")),
        ("nowhere:THING", "benchmark='nowhere:THING' cannot be imported"),
        ("math:pi", "benchmark='math:pi' has type float: give an object of type Benchmark"),
    ],
)
def test_what_is_no_benchmark_is_refused(name, message):
    with pytest.raises(DuetError, match=message):
        find_benchmark(name)


def test_options_are_the_keywords_with_help():
    def score(predictions, references, *, window: Annotated[int, "Frames."] = 3, ratings: int = 1, other=None):
        pass

    assert options_of(score) == {"window": Option(int, 3, "Frames.")}
