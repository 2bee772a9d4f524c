"""The figures of the four benchmarks on the golden predictions; see README.md for their origin."""

import json
from typing import Any

import pytest

from tests.golden.record import FOLDER, figures

ROWS = [row for name in ("published", "recorded") for row in json.loads((FOLDER / f"{name}.json").read_text())]


@pytest.mark.usefixtures("ready_meteor")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join([row["benchmark"], *row["options"]]))
def test_the_figures_are_the_expected_ones(row: dict[str, Any]) -> None:
    found = figures(row["benchmark"], row["options"])
    assert {name: found[name] for name in row["figures"]} == pytest.approx(row["figures"], abs=row["tolerance"])
