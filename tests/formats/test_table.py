"""CSV that csv and pandas read back."""

import csv
import io
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from mmduet.trace import DuetTrace, Query, Response
from tests.trace.traces import traces


def printable(text: str) -> str:
    return text.encode(errors="replace").decode()


@given(traces())
def test_every_frame_and_turn_reads_back(trace: DuetTrace) -> None:
    rows = list(csv.DictReader(io.StringIO(trace.to_csv(), newline="")))
    frames = rows[: len(trace)]
    assert [float(row["time"]) for row in frames] == trace.times.tolist()
    for head in trace.heads:
        np.testing.assert_array_equal([float(row[head]) for row in frames], trace.curve(head))
    if trace.greedy is not None:
        assert [row["greedy"] for row in frames] == [str(value) for value in trace.greedy]
    for name, said in (("query", trace.queries), ("response", trace.responses)):
        texts = [printable(turn.text) for turn in sorted(said, key=lambda turn: turn.time)]
        assert "\n".join(row[name] for row in rows if row[name]).replace("\n", "") == "".join(texts).replace("\n", "")


@given(traces())
def test_a_turn_stands_at_its_time(trace: DuetTrace) -> None:
    rows = list(csv.DictReader(io.StringIO(trace.to_csv(), newline="")))
    for name, said in (("query", trace.queries), ("response", trace.responses)):
        for turn in said:
            row = next(row for row in rows if float(row["time"]) >= turn.time)
            assert printable(turn.text) in row[name]


def test_pandas_reads_it() -> None:
    trace = DuetTrace(
        np.array([0.0, 0.5, 1.0]), np.array([0.1, math.nan, 0.3]), np.array([1.0, 0.0, 1 / 3]),
        responses=[Response(0.5, 'a "cat",\nand more'), Response(2.0, "late")], queries=[Query(0.2, "What?")],
    )  # fmt: skip
    table = pd.read_csv(io.StringIO(trace.to_csv()))
    assert list(table.columns) == ["time", "informative", "relevance", "query", "response"]
    assert table["time"].tolist() == [0, 0.5, 1, 2]
    assert table["relevance"].tolist()[:3] == [1.0, 0.0, 1 / 3]
    assert table["informative"].isna().tolist() == [False, True, False, True]
    assert table["query"].dropna().to_dict() == {1: "What?"}
    assert table["response"].dropna().to_dict() == {1: 'a "cat",\nand more', 3: "late"}


def test_a_trace_without_frames_has_its_turns() -> None:
    trace = DuetTrace.from_prediction(
        {"question_id": 1, "model_response_list": [{"role": "assistant", "time": -1.0, "content": "a"}]}
    )
    assert trace.to_csv().splitlines() == ["time,informative,relevance,query,response", "-1.0,,,,a"]


def test_a_score_too_few_is_noticed() -> None:
    with pytest.raises(ValueError, match="zip"):
        DuetTrace(np.zeros(2), np.zeros(1), np.zeros(2)).to_csv()
