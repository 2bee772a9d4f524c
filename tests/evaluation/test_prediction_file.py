import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.evaluation.coverage import coverage
from mmduet.evaluation.prediction_file import Segment, read_predictions
from mmduet.evaluation.text_times import parse_segments

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


def test_a_file_of_errors_alone_says_why_they_failed(written):
    lines = [{"question_id": name, "error": f"{name}.mp4 does not exist: check the folder."} for name in "ab"]
    with pytest.raises(DuetError, match=r"all 2 questions failed, the first, 'a', since a\.mp4 does not exist: check"):
        coverage(read_predictions(written(*lines)), dict.fromkeys("ab"))


@pytest.mark.parametrize("unit", [1, 1000])
def test_references_in_another_unit_than_seconds_are_refused(written, unit):
    """LINE is of 3 s. One of three may be wrong, as in published data; a span may begin a second too late."""
    found = read_predictions(written(*[LINE | {"question_id": name} for name in "abc"]))
    starts = {"a": 2000.0, "b": 2.0 * unit, "c": 4.0 * unit}
    references = {name: SimpleNamespace(spans=[(start, start + 1, "")]) for name, start in starts.items()}
    if unit == 1:
        assert str(coverage(found, references)).endswith("1 with a span that begins after the video's end, such as a")
        return
    with pytest.raises(DuetError, match=r"3 of 3 questions .* such as 'a', at 2000 s of 3 s: give .* in seconds"):
        coverage(found, references)


def test_scores_survive_writing_and_reading(written):
    scores = np.random.default_rng(0).random(5)
    line = LINE | {
        "debug_data": [{"time": i, "informative_score": s, "relevance_score": s} for i, s in enumerate(scores)]
    }
    assert (read_predictions(written(line)).by_id["a"].trace.relevance == scores).all()


FRAMES = [{"time": i / 2, "informative_score": 0.1, "relevance_score": 0.9} for i in range(4)]
SAID = {"time": 1.0, "content": "A cat.", "role": "assistant"}


def with_frame(at, **fields):
    return {"debug_data": [frame | fields if i == at else frame for i, frame in enumerate(FRAMES)]}


def with_turns(*turns):
    return {"model_response_list": [SAID | turn for turn in turns]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_frame(2, relevance_score=float("nan")), "debug_data / 2 / relevance_score: .*finite.*found nan"),
        (with_frame(2, informative_score=float("inf")), "debug_data / 2 / informative_score"),
        (
            with_frame(0, relevance_score=1.01),
            "debug_data / 0 / relevance_score: .*less than or equal to 1; found 1.01",
        ),
        (with_frame(0, relevance_score=-0.01), "debug_data / 0 / relevance_score: .*greater than or equal to 0"),
        (with_frame(3, relevance_score=True), "debug_data / 3 / relevance_score: .*valid number; found True"),
        (with_frame(3, relevance_score="0.5"), "debug_data / 3 / relevance_score: .*valid number; found '0.5'"),
        (with_frame(3, relevance_score=None), "debug_data / 3 / relevance_score"),
        (with_frame(3, relevance_score=10**400), "debug_data / 3 / relevance_score"),
        (with_frame(3, time=1.0), "debug_data / 3 / time is 1, after one at 1 s"),
        (with_frame(0, time=-0.5), "debug_data / 0 / time: .*greater than or equal to 0"),
        ({"debug_data": [7]}, "debug_data / 0: .*valid dictionary"),
        ({"debug_data": None}, "debug_data: .*valid list"),
        (with_turns({"content": None}), "model_response_list / 0 / content: .*valid string; found None"),
        (with_turns({"time": float("nan")}), "model_response_list / 0 / time"),
        (with_turns({"time": True}), "model_response_list / 0 / time"),
        (with_turns({"time": -1.0}), "model_response_list / 0 / time is -1, before the video's start"),
        (with_turns({}, {"time": 0.5}), "model_response_list / 1 / time is 0.5, after one at 1 s"),
        (with_turns({"time": 100.0}), "model_response_list ends at 100 s, and video_duration is 3 s"),
        (with_turns({"role": "stream"}), "model_response_list / 0 / role"),
        ({"video_duration": float("nan")}, "video_duration: .*finite"),
        ({"video_duration": 0}, "video_duration: .*greater than 0"),
        ({"video_duration": 1e9}, "video_duration: .*less than or equal to 604800"),
        ({"video_duration": "3"}, "video_duration: .*valid number"),
        ({"question_id": True}, "question_id"),
        ({"question_id": "b", "error": None}, "field error"),
        ({"model_response": ["2 - 3 seconds"]}, "has model_response and model_response_list"),
    ],
)
def test_what_is_no_prediction_is_refused_with_its_line_and_field(written, change, message):
    path = written(LINE | {"question_id": "first"}, LINE | {"debug_data": FRAMES} | change)
    if "model_response" in change:
        path = written(LINE | change)
    with pytest.raises(DuetError, match=re.escape(str(path)) + ", line [12]: .*" + message):
        read_predictions(path)


@pytest.mark.parametrize("text", [None, [None], 7, {"a": 1}])
def test_a_baseline_writes_texts(written, text):
    with pytest.raises(DuetError, match=r"line 1: .*model_response"):
        read_predictions(written({"question_id": "a", "video_duration": 3.0, "model_response": text}))


def test_a_file_holds_one_kind(written):
    baseline = {"question_id": "b", "video_duration": 3.0, "model_response": "1 - 2 seconds"}
    with pytest.raises(DuetError, match=r"line 2: .*model_response, as line 2\).*model_response_list, as line 1"):
        read_predictions(written(LINE, baseline))


def test_a_baseline_without_times_may_say_so(written):
    untimed = LINE | {"model_response_list": [SAID | {"time": -1}], "debug_data": []}
    assert read_predictions(written(untimed)).by_id["a"].trace.responses[0].time == -1


def test_a_file_that_is_no_text_or_nested_too_deeply(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'{"question_id": "\xff"}\n')
    with pytest.raises(DuetError, match="not UTF-8"):
        read_predictions(path)
    path.write_text("[" * 100_000)
    with pytest.raises(DuetError, match=r"line 1: .*nested too deeply"):
        read_predictions(path)


def test_answers_without_times_are_counted(written):
    texts = {"a": "1.0 - 2.0 seconds, x\n20 - 60, y", "b": "At the start.", "c": ""}
    lines = [{"question_id": name, "video_duration": 9.0, "model_response": [text]} for name, text in texts.items()]
    met = coverage(read_predictions(written(*lines)), dict.fromkeys("abc"))
    assert "2 of 3 answers have no times that can be read" in str(met)
    assert "1 times of other answers cannot be read, such as '20 - 60'" in str(met)
