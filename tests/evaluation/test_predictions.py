import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.evaluation.predictions import Segment, coverage, parse_segments, read_predictions

LINE = {
    "question_id": "a",
    "video_duration": 3.0,
    "model_response_list": [
        {"time": 0, "content": "What?", "role": "user"},
        {"time": 1.0, "content": "A cat.", "role": "assistant"},
    ],
    "debug_data": [{"time": 0.5, "informative_score": 0.1, "relevance_score": 0.9}],
}


def test_the_published_form(written):
    found = read_predictions(written(LINE)).by_id["a"]
    assert (found.duration, found.segments) == (3.0, None)
    assert [(r.time, r.text) for r in found.trace.responses] == [(1.0, "A cat.")]
    assert found.trace.relevance.tolist() == [0.9]


def test_the_older_form(written):
    older = LINE | {
        "question_id": 7,
        "debug_data": [{"video_time": 0.5, "informative_score": [0.9, 0.1], "relevance_score": [0.2, 0.8]}],
    }
    trace = read_predictions(written(older)).by_id["7"].trace
    assert (trace.times.tolist(), trace.informative.tolist(), trace.relevance.tolist()) == ([0.5], [0.1], [0.8])


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("12.0 - 20.5 seconds, add oil.\n21.0 - 30.0 seconds, stir.", [(12, 20.5, "add oil."), (21, 30, "stir.")]),
        ("12.0 - 20.5 seconds, add oil. 21.0 - 30.0 seconds, stir.", [(12, 20.5, "add oil."), (21, 30, "stir.")]),
        ("From 10 to 25, a dog.\nFrom 25 to 100, a cat.", [(20, 50, "a dog."), (50, 200, "a cat.")]),
        ("It happens from 10 to 25.", [(20, 50, "")]),
        ("The given query happens in 3.0 - 4.5 seconds.", [(3, 4.5, "")]),
        ("5.0 - 2.0 seconds, backwards", [(2, 5, "backwards")]),
        ("I cannot tell.", []),
        ("", []),
    ],
)
def test_whole_video_baselines(written, text, segments):
    line = {"question_id": "a", "video_duration": 200.0, "model_response": [text]}
    found = read_predictions(written(line)).by_id["a"]
    assert found.segments == [Segment(*segment) for segment in segments]
    assert len(found.trace) == 0


@given(st.text(max_size=80), st.floats(0.1, 1e4))
def test_any_text_gives_ordered_segments(text, duration):
    for segment in parse_segments(text, duration):
        assert segment.start <= segment.end


def test_an_error_line_is_told_apart(written):
    found = read_predictions(written(LINE, {"question_id": "b", "error": "b.mp4 is truncated"}))
    assert (list(found.by_id), found.errors) == (["a"], {"b": "b.mp4 is truncated"})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{"], r"line 1: .*JSON"),
        ([{"video_duration": 3}], r"line 1: .*question_id"),
        ([LINE, {"question_id": "b"}], r"line 2: .*video_duration"),
        ([LINE, LINE], r"line 2: question 'a' has a prediction already"),
        ([LINE | {"debug_data": [{"time": 0}]}], r"line 1: .*informative_score"),
    ],
)
def test_a_broken_line_is_named(written, lines, message):
    path = written(*lines)
    with pytest.raises(DuetError, match=re.escape(str(path)) + ", " + message):
        read_predictions(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DuetError, match=r"none\.jsonl does not exist"):
        read_predictions(tmp_path / "none.jsonl")


def test_coverage_counts_and_names(written):
    found = read_predictions(written(LINE, LINE | {"question_id": "x"}, {"question_id": "b", "error": "no video"}))
    met = coverage(found, dict.fromkeys("abc"))
    assert (met.matched, met.missing, met.failed, met.extra) == (("a",), ("c",), ("b",), ("x",))
    text = str(met)
    assert "1 without prediction: c" in text
    assert "1 failed: b" in text
    assert "1 predictions without reference: x" in text


def test_predictions_of_another_benchmark_are_refused(written):
    with pytest.raises(DuetError, match="no prediction for any of the 1 references"):
        coverage(read_predictions(written(LINE)), {"z": None})


def test_scores_survive_writing_and_reading(written):
    scores = np.random.default_rng(0).random(5)
    line = LINE | {
        "debug_data": [{"time": i, "informative_score": s, "relevance_score": s} for i, s in enumerate(scores)]
    }
    assert (read_predictions(written(line)).by_id["a"].trace.relevance == scores).all()
