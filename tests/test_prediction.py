"""Predictions on small clips with the `tiny` model."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmduet.errors import AnnotationError, DuetError
from mmduet.evaluation.predictions import coverage, read_predictions
from mmduet.prediction import DEFAULTS, Question, Settings, predict, read_questions, settings_path, with_overrides
from mmduet.trace import Query
from tests.clips import write_clip

SETTINGS = Settings(2.0, max_frames=6, threshold=0.4, max_new_tokens=3)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Four clips; the third is no video."""
    folder = tmp_path_factory.mktemp("videos")
    for name in "abd":
        write_clip(folder / f"{name}.mp4", frames=24 + 6 * ord(name) % 24)
    (folder / "c.mp4").write_text("no video")
    return folder


QUESTIONS = [Question(name, f"{name}.mp4", (Query(0.0, f"What is {name}?"),)) for name in "abcd"]


@pytest.fixture(scope="module")
def whole(tiny, videos, tmp_path_factory):
    """The file that an uninterrupted run writes."""
    path = tmp_path_factory.mktemp("whole") / "p.jsonl"
    return predict(*tiny, QUESTIONS, videos, path, settings=SETTINGS)


def test_a_line_a_question_and_an_error_line_for_a_broken_video(whole):
    assert (whole.written, whole.new) == (4, 4)
    assert list(whole.failed) == ["c"]
    assert "c.mp4" in whole.failed["c"]
    found = read_predictions(whole.path)
    assert coverage(found, dict.fromkeys("abcd")).failed == ("c",)
    trace = found.by_id["a"].trace
    assert trace.times.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5][: len(trace)]
    assert [query.text for query in trace.queries] == ["What is a?"]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000))
def test_wherever_a_run_was_cut_the_file_becomes_the_same(tiny, videos, whole, tmp_path_factory, cut):
    text = whole.path.read_bytes()
    path = tmp_path_factory.mktemp("cut") / "p.jsonl"
    path.write_bytes(text[: cut % len(text)])
    settings_path(path).write_bytes(settings_path(whole.path).read_bytes())
    outcome = predict(*tiny, QUESTIONS, videos, path, settings=SETTINGS)
    assert path.read_bytes() == text
    assert outcome.new == 4 - text[: cut % len(text)].count(b"\n")


def test_killed_for_real(videos, whole, tmp_path):
    """SIGKILL after the first line; then the same command again."""
    path = tmp_path / "p.jsonl"
    questions = tmp_path / "questions.json"
    questions.write_text(json.dumps([
        {"question_id": q.question_id, "video": q.video,
         "conversation": [{"role": "user", "content": q.queries[0].text, "time": 0}]} for q in QUESTIONS
    ]))  # fmt: skip
    command = [
        sys.executable, "-m", "mmduet", "predict", "magqa", "--model", "tiny", "--references", str(questions),
        "--videos", str(videos), "--output", str(path), "--max-frames", "6", "--threshold", "0.4",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert process.stderr is not None
    heard = b""
    while b"1/4" not in heard and (byte := process.stderr.read(1)):
        heard += byte
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1, "a question failed"
    killed = path.read_bytes()
    path.unlink()
    subprocess.run(command, capture_output=True, check=False)
    assert path.read_bytes() == killed
    assert [json.loads(line)["question_id"] for line in killed.splitlines()] == list("abcd")


def test_other_settings_are_refused_and_nothing_is_lost(tiny, videos, whole):
    before = whole.path.read_bytes()
    with pytest.raises(DuetError, match=r"begun with other settings \(settings was .*; go on with those|begun with"):
        predict(*tiny, QUESTIONS, videos, whole.path, settings=replace(SETTINGS, threshold=0.6))
    with pytest.raises(DuetError, match="model was None, is 'other'"):
        predict(*tiny, QUESTIONS, videos, whole.path, settings=SETTINGS, identity={"model": "other"})
    assert whole.path.read_bytes() == before


def test_what_made_the_file_stands_beside_it(whole):
    stated = json.loads(settings_path(whole.path).read_text())
    assert stated["settings"]["threshold"] == 0.4
    assert set(stated["versions"]) >= {"torch", "transformers", "decord"}
    assert len(stated["weights"]) == 16


def test_a_rate_for_the_whole_video(tiny, videos, tmp_path):
    """Without a rate, max_frames cover the video."""
    predict(*tiny, QUESTIONS[:1], videos, tmp_path / "p.jsonl", settings=Settings(0, max_frames=5))
    found = read_predictions(tmp_path / "p.jsonl").by_id["a"]
    assert len(found.trace) == 5
    assert found.trace.times[-1] == pytest.approx(found.duration * 4 / 5)
    assert found.trace.responses == [], "without a threshold nothing is said"


def test_two_processes_write_the_same_file(videos, tmp_path):
    """Each takes its share; the shares are put together in the questions' order."""
    questions = tmp_path / "questions.json"
    questions.write_text(json.dumps([
        {"question_id": name, "video": f"{name}.mp4", "conversation": []} for name in "abcd"
    ]))  # fmt: skip
    arguments = [
        "predict", "charades_sta", "--model", "tiny", "--references", str(questions), "--videos", str(videos),
        "--max-frames", "4",
    ]  # fmt: skip
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    alone = [sys.executable, "-m", "mmduet", *arguments, "--output", str(tmp_path / "one.jsonl")]
    launch = [
        sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
        "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m", "mmduet", *arguments,
        "--output", str(tmp_path / "two.jsonl"),
    ]  # fmt: skip
    for command in (alone, launch):
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        assert "1 of 4 questions failed" in done.stdout + done.stderr, done.stderr[-2000:]
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    assert not list(tmp_path.glob("*.part-*"))


def test_questions_of_qvhighlights_release(tmp_path):
    path = tmp_path / "release.jsonl"
    path.write_text(json.dumps({
        "qid": 3, "query": "a cat", "duration": 4, "vid": "v_0_4", "relevant_clip_ids": [], "saliency_scores": [],
        "relevant_windows": [],
    }))  # fmt: skip
    assert read_questions(path) == [Question(3, "v_0_4.mp4", (Query(0.0, "a cat"),))]


def test_mistakes_in_questions_are_named(tmp_path):
    path = tmp_path / "questions.json"
    path.write_text(json.dumps([{"question_id": "a", "video": "a.mp4", "conversation": []}] * 2))
    with pytest.raises(AnnotationError, match="question 'a' comes more than once"):
        read_questions(path)
    path.write_text(json.dumps([{"question_id": "a", "conversation": []}]))
    with pytest.raises(AnnotationError, match="entry 0 / video"):
        read_questions(path)


def test_settings_by_benchmark():
    assert with_overrides("youcook2") == DEFAULTS["youcook2"]
    assert with_overrides("youcook2", frame_fps=2.0, threshold=None).frame_fps == 2.0
    with pytest.raises(DuetError, match="benchmark='coin' is not known"):
        with_overrides("coin")
