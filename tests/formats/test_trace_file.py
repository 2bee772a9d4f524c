"""JSON that reads back to an equal trace."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from mmduet.errors import AnnotationError
from mmduet.trace import DuetTrace
from tests.trace.traces import traces


@given(traces())
def test_every_field_reads_back(trace: DuetTrace) -> None:
    again = DuetTrace.from_json(trace.to_json())
    for each in dataclasses.fields(DuetTrace):
        before, after = getattr(trace, each.name), getattr(again, each.name)
        assert type(after) is type(before), each.name
        if isinstance(before, np.ndarray):
            assert after.dtype == before.dtype
            np.testing.assert_array_equal(after, before, err_msg=each.name)
        else:
            assert after == before, each.name


def test_it_is_plain_json() -> None:
    trace = DuetTrace(np.array([0.0, 0.5]), np.array([0.25, np.nan]), np.array([1.0, 0.0]))
    assert json.loads(trace.to_json(), parse_constant=pytest.fail) == {
        "times": [0, 0.5], "informative": [0.25, None], "relevance": [1, 0], "responses": [], "queries": [],
        "context_length": 0, "reply": None, "greedy": None,
    }  # fmt: skip


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"times": [0, "1"]}, "times / 1: Input should be a valid number; found '1'"),
    ({"informative": [2.0, 0.5]}, "informative / 0: Input should be less than or equal to 1; found 2"),
    ({"relevance": [0.5]}, "relevance has 1 values, and times has 2"),
    ({"responses": [{"time": 1, "text": "a", "token_ids": [1.5]}]}, "responses / 0 / token_ids / 0"),
    ({"context_length": -1}, "context_length"),
    ({"more": 1}, "more: Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_a_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    right = json.loads(DuetTrace(np.array([0.0, 0.5]), np.array([0.25, 1]), np.array([1.0, 0.0])).to_json())
    with pytest.raises(AnnotationError) as caught:
        DuetTrace.from_json(json.dumps(right | change))
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[]", "null"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(AnnotationError, match="trace:"):
        DuetTrace.from_json(text)
