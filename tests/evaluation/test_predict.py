"""Predictions on small clips with the `tiny` model."""

import errno
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tqdm import tqdm
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.errors import AnnotationError, DuetError, FileError
from mmduet.evaluation.benchmark import Question, Settings
from mmduet.evaluation.benchmarks import BENCHMARKS
from mmduet.evaluation.coverage import coverage
from mmduet.evaluation.predict import predict, with_overrides
from mmduet.evaluation.prediction_file import read_predictions, settings_path
from mmduet.evaluation.references import read_questions
from mmduet.files import LineFile
from mmduet.streaming.session import DuetSession
from mmduet.trace import DuetTrace, Query
from tests.clips import write_clip

SETTINGS = Settings(2.0, max_frames=6, threshold=0.4, max_new_tokens=3)
ASKED = [{"role": "user", "content": "What?", "time": 0}]


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


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("kind", [Terminal, io.StringIO])
def test_a_terminal_shows_the_frames_of_each_video(tiny, videos, tmp_path, monkeypatch, kind):
    """With the time that is left; a log is not filled with them."""
    monkeypatch.setattr("mmduet.evaluation.predict.tqdm", partial(tqdm, mininterval=0, file=(shown := kind())))
    predict(*tiny, QUESTIONS[:2], videos, tmp_path / "p.jsonl", settings=replace(SETTINGS, max_frames=4))
    bars = re.findall(r"([ab])\.mp4: +(\d+)%.*? (\d)/4 \[\S+<\S+,", shown.getvalue())
    ends = {name: int(done) for name, _, done in bars}
    assert ends == ({"a": 4, "b": 4} if kind is Terminal else {})
    assert "predict: 100%" in shown.getvalue()


def test_a_line_a_question_and_an_error_line_for_a_broken_video(whole):
    assert (whole.written, whole.new) == (4, 4)
    assert list(whole.failed) == ["c"]
    assert "c.mp4" in whole.failed["c"]
    found = read_predictions(whole.path)
    assert coverage(found, dict.fromkeys("abcd")).failed == ("c",)
    trace = found.by_id["a"].trace
    assert trace.times.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5][: len(trace)]
    assert [query.text for query in trace.queries] == ["What is a?"]


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000))
def test_wherever_a_run_was_cut_the_file_becomes_the_same(tiny, videos, whole, tmp_path_factory, cut):
    text = whole.path.read_bytes()
    path = tmp_path_factory.mktemp("cut") / "p.jsonl"
    path.write_bytes(text[: cut % len(text)])
    settings_path(path).write_bytes(settings_path(whole.path).read_bytes())
    outcome = predict(*tiny, QUESTIONS, videos, path, settings=SETTINGS)
    assert path.read_bytes() == text
    kept = text[: cut % len(text)].split(b"\n")[:-1]
    assert outcome.new == 4 - sum(b'"error"' not in line for line in kept), "what failed is asked again"


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
        "--max-new-tokens", "50",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"TQDM_MININTERVAL": "0"})
    assert process.stderr is not None
    heard = b""
    while b"1/4" not in heard and (byte := process.stderr.read(1)):
        heard += byte
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert CliRunner().invoke(app, command[3:]).exit_code == 1, "a question failed"
    killed = path.read_bytes()
    path.unlink()
    CliRunner().invoke(app, command[3:])
    assert path.read_bytes() == killed
    assert [json.loads(line)["question_id"] for line in killed.splitlines()] == list("abcd")


def test_what_failed_is_asked_again_in_its_place(tiny, videos, tmp_path):
    """The file is that of a run in which nothing was missing."""
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "a.mp4").symlink_to(videos / "a.mp4")
    asked = [Question(n, f"{name}.mp4", ()) for n, name in enumerate("aba")]
    first = predict(*tiny, asked, folder, tmp_path / "p.jsonl", settings=SETTINGS)
    assert list(first.failed) == ["1"]
    (folder / "b.mp4").symlink_to(videos / "b.mp4")
    second = predict(*tiny, asked, folder, tmp_path / "p.jsonl", settings=SETTINGS)
    assert (second.written, second.new, second.failed) == (3, 1, {})
    predict(*tiny, asked, folder, tmp_path / "whole.jsonl", settings=SETTINGS)
    assert (tmp_path / "p.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def odd_questions(folder):
    """Each of these once ended a run, or was answered in silence. The pattern is of its error."""
    os.mkfifo(folder / "pipe.mp4")
    (folder / "folder.mp4").mkdir()
    late = (Query(0.0, "What is it?"), Query(100.0, "And now?"))
    return {
        Question("token", "a.mp4", (Query(0.0, "an <image> of it"),)): "image",
        Question("surrogate", "a.mp4", (Query(0.0, "\ud800"),)): "half of a surrogate pair, which is no character",
        Question("late", "a.mp4", late): r"the question at 100 s was never asked: the last frame watched is at",
        Question("negative", "a.mp4", (Query(-1.0, "What?"),)): "a time is 0 or later",
        Question("gone", "gone.mp4", ()): "does not exist",
        Question("long", f"{'n' * 300}.mp4", ()): "cannot be read: File name too long",
        Question("null", "a\0.mp4", ()): "cannot be read: embedded null byte",
        Question("name", "\ud800.mp4", ()): "surrogates not allowed|does not exist",
        Question("pipe", "pipe.mp4", ()): "is no regular file",
        Question("folder", "folder.mp4", ()): "is no regular file",
        Question("up", "../videos/a.mp4", ()): "leads out of",
        Question("absolute", str(folder / "a.mp4"), ()): "leads out of",
    }


def test_one_question_never_ends_a_run(tiny, videos, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "a.mp4").symlink_to(videos / "a.mp4")
    odd = odd_questions(folder)
    for _ in range(2):
        outcome = predict(*tiny, [*odd, Question("good", "a.mp4", ())], folder, tmp_path / "p.jsonl", settings=SETTINGS)
        assert list(outcome.failed) == [question.question_id for question in odd]
        for question, pattern in odd.items():
            assert re.search(pattern, outcome.failed[question.question_id]), outcome.failed[question.question_id]
    assert [line for line in read_predictions(tmp_path / "p.jsonl").by_id] == ["good"]


def test_a_mistake_in_the_program_is_no_error_line(tiny, videos, tmp_path, monkeypatch):
    monkeypatch.setattr("mmduet.evaluation.predict.iter_frames", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predict(*tiny, QUESTIONS[:1], videos, tmp_path / "p.jsonl", settings=SETTINGS)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_that_are_no_numbers_are_an_error(tiny, videos, tmp_path, monkeypatch, value):
    trace = DuetTrace(np.arange(3.0), np.zeros(3), np.array([0, 0, value]))
    monkeypatch.setattr(DuetSession, "stream", lambda *_: trace.scores())
    asked = [Question("a", "a.mp4", ())]
    outcome = predict(*tiny, asked, videos, tmp_path / "p.jsonl", settings=SETTINGS)
    assert "NaN or infinite at 1 of 3 frames, the first at 2 s" in outcome.failed["a"]


def test_answers_with_nan_of_an_earlier_version_are_asked_again(tiny, videos, whole, tmp_path):
    path = tmp_path / "p.jsonl"
    entry = json.loads(whole.path.read_bytes().split(b"\n")[0])
    entry["debug_data"][1]["relevance_score"] = math.nan
    path.write_text(json.dumps(entry) + "\n")
    settings_path(path).write_bytes(settings_path(whole.path).read_bytes())
    predict(*tiny, QUESTIONS, videos, path, settings=SETTINGS)
    assert path.read_bytes() == whole.path.read_bytes()


def test_a_text_with_a_line_separator_is_one_line(tiny, videos, tmp_path):
    asked = [Question(1, "a.mp4", (Query(0.0, "a\u2028b\u2029c\u0085d"),))]
    for new in (1, 0):
        outcome = predict(*tiny, asked, videos, tmp_path / "p.jsonl", settings=SETTINGS)
        assert (outcome.written, outcome.new, outcome.failed) == (1, new, {})


@pytest.mark.parametrize("text", ['[{"question_id": 1}]', '{"question_id": 1}\n', "notes", "\n"])
def test_a_file_of_another_kind_stays(tiny, videos, tmp_path, text):
    """Also a prediction file of another system: nothing says what made it."""
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(FileError, match="another kind"):
        predict(*tiny, QUESTIONS, videos, path, settings=SETTINGS)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"p.jsonl": text}


def test_settings_of_others_stay(tiny, videos, tmp_path):
    settings_path(tmp_path / "p.jsonl").write_text('{"mine": 1}')
    with pytest.raises(FileError, match=r"settings\.json is a file of another kind"):
        predict(*tiny, QUESTIONS, videos, tmp_path / "p.jsonl", settings=SETTINGS)


@pytest.mark.parametrize("line", ["[1]", '{"question_id": null}', "{", "\0\0"])
def test_a_damaged_line_is_named(tiny, videos, whole, tmp_path, line):
    path = tmp_path / "p.jsonl"
    settings_path(path).write_bytes(settings_path(whole.path).read_bytes())
    before = whole.path.read_bytes().split(b"\n")[0] + f"\n{line}\n".encode()
    path.write_bytes(before)
    with pytest.raises(AnnotationError, match=r"p\.jsonl, line 2: no"):
        predict(*tiny, QUESTIONS, videos, path, settings=SETTINGS)
    assert path.read_bytes() == before


def test_one_run_a_file(tiny, videos, tmp_path):
    with LineFile(tmp_path / "p.jsonl"), pytest.raises(FileError, match=f"written by process {os.getpid()}: wait"):
        predict(*tiny, QUESTIONS, videos, tmp_path / "p.jsonl", settings=SETTINGS)


def answer_at_once(session, question, path, settings):
    return {"question_id": question.question_id, "video_duration": 1.0, "model_response_list": [], "debug_data": []}


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 3), st.integers(0, 200), st.booleans())
def test_wherever_the_disk_was_full_the_file_becomes_the_same(tiny, videos, tmp_path_factory, at, room, ends):
    """A write takes `room` bytes and then fails, or only says how many it took."""
    folder, write, calls = tmp_path_factory.mktemp("full"), io.FileIO.write, iter(range(100))

    class Full(io.FileIO):
        def write(self, line):
            if next(calls) != at:
                return write(self, line)
            written = write(self, line[: min(room, len(line) - 1)])
            if ends:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return written

    asked = [QUESTIONS[n] for n in (0, 1, 3, 2)]  # the last one fails
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmduet.evaluation.predict._watch", answer_at_once)
        whole = predict(*tiny, asked, videos, folder / "whole.jsonl", settings=SETTINGS).path.read_bytes()
        with patch.context() as full:
            full.setattr(LineFile, "_open", lambda file: setattr(file, "_file", Full(file.path, "ab")))
            with pytest.raises(FileError, match=r"cannot be written \((No space|\d+ of)"):
                predict(*tiny, asked, videos, folder / "p.jsonl", settings=SETTINGS)
        assert (folder / "p.jsonl").read_bytes() == b"".join(whole.splitlines(keepends=True)[:at])
        predict(*tiny, asked, videos, folder / "p.jsonl", settings=SETTINGS)
    assert (folder / "p.jsonl").read_bytes() == whole


def test_parts_of_a_killed_run_of_several_processes_are_used(tiny, videos, whole, tmp_path):
    """Also by another number of processes. The second part's last line is truncated."""
    path, lines = tmp_path / "p[1].jsonl", whole.path.read_bytes().splitlines(keepends=True)
    settings_path(path).write_bytes(settings_path(whole.path).read_bytes())
    path.touch()
    for index, content in enumerate([lines[3], lines[0] + lines[1][:30], b""]):
        path.with_name(f"{path.name}.part-{index}").write_bytes(content)
    outcome = predict(*tiny, QUESTIONS, videos, path, settings=SETTINGS)
    assert outcome.new == 2
    assert path.read_bytes() == whole.path.read_bytes()
    assert sorted(found.name for found in tmp_path.iterdir()) == [path.name, settings_path(path).name]


def test_other_settings_are_refused_and_nothing_is_lost(tiny, videos, whole):
    before = whole.path.read_bytes()
    with pytest.raises(DuetError, match=r"other settings \(settings / threshold was 0\.4, is 0\.6\): resume"):
        predict(*tiny, QUESTIONS, videos, whole.path, settings=replace(SETTINGS, threshold=0.6))
    with pytest.raises(DuetError, match="model was None, is 'other'"):
        predict(*tiny, QUESTIONS, videos, whole.path, settings=SETTINGS, identity={"model": "other"})
    assert whole.path.read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "stated"),
    [
        ({"queries": (Query(0.0, "What else?"),)}, "What else?"),
        ({"queries": (Query(0.5, "What is a?"),)}, "'time': 0.5"),
        ({"video": "b.mp4"}, "video was 'a.mp4', is 'b.mp4'"),
        ({"queries": ()}, "is None"),
    ],
)
def test_the_answer_to_another_question_of_the_same_id_is_refused(tiny, videos, whole, changed, stated):
    before = whole.path.read_bytes()
    questions = [replace(QUESTIONS[0], **changed), *QUESTIONS[1:]]
    with pytest.raises(DuetError, match=r"p\.jsonl answers another question with the id 'a'") as refused:
        predict(*tiny, questions, videos, whole.path, settings=SETTINGS)
    assert stated in str(refused.value)
    assert "give another output, or delete p.jsonl" in str(refused.value)
    assert whole.path.read_bytes() == before


def test_the_answer_about_a_video_that_was_replaced_is_refused(tiny, videos, whole, tmp_path):
    """One that is gone is no reason to ask again."""
    own = tmp_path / "videos"
    own.mkdir()
    for name in "abd":
        write_clip(own / f"{name}.mp4", frames=60)
    path = tmp_path / "p.jsonl"
    path.write_bytes(whole.path.read_bytes())
    settings_path(path).write_bytes(settings_path(whole.path).read_bytes())
    with pytest.raises(DuetError, match=r"another question with the id 'a' \(bytes was \d+, is \d+\)"):
        predict(*tiny, QUESTIONS, own, path, settings=SETTINGS)
    for name in "abd":
        (own / f"{name}.mp4").unlink()
    assert predict(*tiny, QUESTIONS, own, path, settings=SETTINGS).new == 1, "what failed"


def test_lines_of_another_version_of_ones_own_policy_are_refused(tiny, videos, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    code = "class Every:\n    heads, threshold = ('informative',), 0\n    def __init__(self, *a, **k): ...\n"
    code += "    def need(self, scores): return scores.time % 2 == 0\n    def reset(self): ...\n"
    (tmp_path / "own_rule.py").write_text(code)
    own = replace(SETTINGS, mode="own_rule:Every")
    path = tmp_path / "p.jsonl"
    predict(*tiny, QUESTIONS[:1], videos, path, settings=own)
    assert predict(*tiny, QUESTIONS[:1], videos, path, settings=own).new == 0
    (tmp_path / "own_rule.py").write_text(code.replace("% 2", "% 1"))
    with pytest.raises(DuetError, match=r"started with other settings \(code / own_rule was"):
        predict(*tiny, QUESTIONS[:2], videos, path, settings=own)


def test_a_question_that_failed_may_change(tiny, videos, whole, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(whole.path.read_bytes())
    settings_path(path).write_bytes(settings_path(whole.path).read_bytes())
    mended = [replace(q, video="d.mp4") if q.question_id == "c" else q for q in QUESTIONS]
    assert predict(*tiny, mended, videos, path, settings=SETTINGS).failed == {}


def test_lines_that_do_not_state_their_question_are_taken(tiny, videos, whole, tmp_path):
    """Those of earlier versions, and of the published code."""
    path = tmp_path / "p.jsonl"
    lines = [json.loads(line) for line in whole.path.read_text().splitlines()]
    path.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "asked"}) + "\n" for line in lines))
    settings_path(path).write_bytes(settings_path(whole.path).read_bytes())
    assert predict(*tiny, QUESTIONS, videos, path, settings=SETTINGS).new == 1, "what failed"


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
        {"question_id": name, "video": f"{name}.mp4", "conversation": ASKED} for name in "abcd"
    ]))  # fmt: skip
    arguments = [
        "predict", "charades_sta", "--model", "tiny", "--references", str(questions), "--videos", str(videos),
        "--max-frames", "4",
    ]  # fmt: skip
    launch = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--main_process_port", "0", "-m", "mmduet", *arguments,
        "--output", str(tmp_path / "two.jsonl"),
    ]  # fmt: skip
    alone = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "one.jsonl")])
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(launch, capture_output=True, text=True, env=env, check=False)
    for printed in (alone.output, done.stdout + done.stderr):
        assert "1 of 4 questions failed" in printed, printed[-2000:]
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    assert not list(tmp_path.glob("*.part-*"))


def test_questions_of_qvhighlights_release(tmp_path):
    path = tmp_path / "release.jsonl"
    path.write_text(json.dumps({
        "qid": 3, "query": "a cat", "duration": 4, "vid": "v_0_4", "relevant_clip_ids": [], "saliency_scores": [],
        "relevant_windows": [],
    }))  # fmt: skip
    assert read_questions(path, "qvhighlights") == [Question(3, "v_0_4.mp4", (Query(0.0, "a cat"),))]


def test_mistakes_in_questions_are_named(tmp_path):
    path = tmp_path / "questions.json"
    path.write_text(json.dumps([{"question_id": "a", "video": "a.mp4", "conversation": ASKED}] * 2))
    with pytest.raises(AnnotationError, match="question 'a' comes more than once"):
        read_questions(path, "magqa")
    path.write_text(json.dumps([{"question_id": "a", "conversation": []}]))
    with pytest.raises(AnnotationError, match="entry 0 / video"):
        read_questions(path, "magqa")


def test_settings_by_benchmark():
    assert with_overrides("youcook2") == BENCHMARKS["youcook2"].settings
    assert with_overrides("youcook2", frame_fps=2.0, threshold=None).frame_fps == 2.0
    assert with_overrides("youcook2", remove_assistant_turns=False).remove_assistant_turns is False
    with pytest.raises(DuetError, match="benchmark='coin' is not known"):
        with_overrides("coin")
