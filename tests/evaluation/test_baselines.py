"""Whole-video baselines: with a model that says what the test wants, and with a tiny LLaVA-OneVision."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.errors import CheckpointError, DuetError, FileError
from mmduet.evaluation.baselines import BaselineSettings, run, settings_for
from mmduet.evaluation.benchmark import Question
from mmduet.evaluation.benchmarks import charades_sta, qvhighlights
from mmduet.evaluation.benchmarks.magqa import replies
from mmduet.evaluation.benchmarks.youcook2 import captions
from mmduet.evaluation.items import GroundedItem, HighlightItem
from mmduet.evaluation.prediction_file import read_predictions, settings_path
from mmduet.trace import Query
from tests.chat_models import write_llava
from tests.clips import write_clip

WHOLE = BaselineSettings(asks="segments", frame_fps=2.0, frame_size=32)
CHUNKS = replace(WHOLE, prompt=None, chunks=2.0)
RATE = 4  # frames a second of the clips
LEVEL = 8  # frame n is a grey of level 8 n


@dataclass
class Said:
    """A chat model that is a function: (numbers of the clip's frames, text) -> answer. It keeps what it is asked."""

    answer: object = lambda numbers, text: "12.0 - 20.5 seconds, a cat"
    weights: str = "none"
    asked: list = field(default_factory=list)

    def ask(self, frames, text, *, max_new_tokens):
        assert frames.shape[1:] == (3, 32, 32)
        numbers = (frames[:, 0, 16, 16].float() / LEVEL).round().int().tolist()
        self.asked.append((numbers, text, max_new_tokens))
        return self.answer(numbers, text)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two clips of 7.5 s and 5 s; the third is no video."""
    folder = tmp_path_factory.mktemp("videos")
    write_clip(folder / "a.mp4", frames=30, rate=RATE, size=(32, 32))
    write_clip(folder / "b.mp4", frames=20, rate=RATE, size=(32, 32))
    (folder / "c.mp4").write_text("no video")
    return folder


def question(name, *queries):
    return Question(name, f"{name}.mp4", tuple(Query(*query) for query in queries or [(0.0, f"What is {name}?")]))


QUESTIONS = [question(name) for name in "abc"]


def texts(path):
    return {line["question_id"]: line["model_response"] for line in map(json.loads, path.read_text().splitlines())}


# settings


@pytest.mark.parametrize(
    ("benchmark", "asks", "fps"),
    [
        ("charades_sta", "span", 2.0),
        ("qvhighlights", "span", 1.0),
        ("youcook2", "segments", 0.5),
        ("magqa", "segments", 2.0),
    ],
)
def test_each_benchmark_is_asked_as_in_the_paper(benchmark, asks, fps):
    found = settings_for(benchmark)
    assert (found.asks, found.frame_fps, found.prompt, found.chunks) == (asks, fps, "tc", None)
    assert settings_for(benchmark, chunks=2).prompt is None
    assert settings_for(benchmark, prompt="vt", asks="span", max_frames=None).max_frames == found.max_frames


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompt": "hawkeye"}, "prompt='hawkeye' is not known: use tc or vt"),
        ({"asks": "all"}, "asks='all' is not known: use span or segments"),
        ({"prompt": "tc", "chunks": 2.0}, r"prompt='tc' and chunks=2\.0: give one of the two"),
        ({"max_frames": 0}, "max_frames=0: must be at least 1"),
        ({"frame_size": 0}, "frame_size=0: must be at least 1"),
        ({"max_new_tokens": 0}, "max_new_tokens=0: must be at least 1"),
        ({"frame_fps": -1.0}, r"frame_fps=-1\.0: must be a positive number, or 0"),
        ({"frame_fps": math.nan}, "frame_fps=nan: must be a positive number, or 0"),
        ({"chunks": 0.25}, r"chunks=0\.25 s at 2\.0 frames a second: a chunk has at least one frame"),
        ({"chunks": 0.0}, r"chunks=0\.0 s"),
        ({"chunks": math.inf}, "chunks=inf s"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(DuetError, match=message):
        settings_for("charades_sta", **wrong)


# whole videos


@pytest.mark.parametrize(("prompt", "form"), [("tc", "start - end seconds"), ("vt", "From start to end")])
@pytest.mark.parametrize(("asks", "ending"), [("span", ""), ("segments", ", text")])
def test_the_prompt_has_question_form_and_times(videos, tmp_path, prompt, form, asks, ending):
    said = Said()
    run(said, [question("a")], videos, tmp_path / "p.jsonl", settings=replace(WHOLE, prompt=prompt, asks=asks))
    ((numbers, text, tokens),) = said.asked
    assert numbers == list(range(0, 30, 2)), "15 frames at 2 a second, of 30 at 4 a second"
    assert text.startswith("The video lasts 7.5 seconds. It is shown as 15 frames, one every 0.50 seconds.\n")
    assert "\nWhat is a?\n" in text
    assert text.endswith(f"in the form: {form}{ending}")
    assert tokens == WHOLE.max_new_tokens


def test_the_line_is_the_published_form_and_errors_are_lines(videos, tmp_path):
    outcome = run(Said(), QUESTIONS, videos, tmp_path / "p.jsonl", settings=WHOLE, identity={"model": "m"})
    lines = [json.loads(line) for line in outcome.path.read_text().splitlines()]
    answer = {"question_id": "a", "video_duration": 7.5, "model_response": ["12.0 - 20.5 seconds, a cat"]}
    size = (videos / "a.mp4").stat().st_size
    asked = {"video": "a.mp4", "queries": [{"time": 0.0, "text": "What is a?"}], "bytes": size}
    assert lines[0] == answer | {"asked": asked}
    assert list(lines[2]) == ["question_id", "error", "asked"]
    assert list(outcome.failed) == ["c"]
    stated = json.loads(settings_path(outcome.path).read_text())
    assert (stated["settings"]["prompt"], stated["weights"], stated["model"]) == ("tc", "none", "m")


def test_answers_of_both_forms_are_read_and_scored(videos, tmp_path):
    """Seconds, and percent of 7.5 s."""
    answers = {
        "tc": "1.5 - 3.0 seconds, a cat.\n3.0 - 7.5 seconds, a dog",
        "vt": "From 20 to 40, a cat.\nFrom 40 to 100, a dog",
    }
    for prompt, answer in answers.items():
        path = tmp_path / f"{prompt}.jsonl"
        run(Said(lambda *_, a=answer: a), [question("a")], videos, path, settings=replace(WHOLE, prompt=prompt))
        found = read_predictions(path).by_id["a"]
        assert [(s.start, s.end) for s in captions(found)] == [(1.5, 3.0), (3.0, 7.5)]
        assert [(reply.time, reply.text) for reply in replies(found)] == [(2.25, "a cat."), (5.25, "a dog")]
        item = GroundedItem(question_id="a", video="a.mp4", conversation=[], timestamps=[(1.5, 4.5)])
        assert charades_sta.evaluate({"a": found}, {"a": item})["mIoU"] == pytest.approx(50.0)


def test_an_answer_without_times_is_kept(videos, tmp_path):
    path = tmp_path / "p.jsonl"
    run(Said(lambda *_: "It is a cat."), [question("a")], videos, path, settings=WHOLE)
    assert [reply.text for reply in replies(read_predictions(path).by_id["a"])] == ["It is a cat."]


def test_all_turns_are_asked_in_their_order(videos, tmp_path):
    said = Said()
    run(said, [question("a", (3.0, "And then?"), (0.0, "What?"))], videos, tmp_path / "p.jsonl", settings=WHOLE)
    assert "\nWhat?\nAnd then?\n" in said.asked[0][1]


def test_a_question_without_text_is_an_error(videos, tmp_path):
    outcome = run(Said(), [Question("a", "a.mp4", ())], videos, tmp_path / "p.jsonl", settings=WHOLE)
    assert "the question has no text" in outcome.failed["a"]


@given(st.floats(0.1, 1000), st.one_of(st.just(0.0), st.floats(0.01, 60)), st.integers(1, 500))
def test_the_rate_shows_everything_in_at_most_that_many_frames(length, fps, most):
    rate = BaselineSettings(asks="span", frame_fps=fps, max_frames=most).rate(length)
    assert rate * length <= most * (1 + 1e-9)
    assert rate <= (fps or math.inf)
    assert rate == fps or rate * length == pytest.approx(most), "fewer frames only where they are too many"


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 40), st.sampled_from([0.0, 0.5, 1.0, 4.0]))
def test_the_frames_are_spread_over_the_whole_video(videos, tmp_path_factory, most, fps):
    said = Said()
    path = tmp_path_factory.mktemp("spread") / "p.jsonl"
    run(said, [question("a")], videos, path, settings=replace(WHOLE, frame_fps=fps, max_frames=most))
    rate = min(fps or math.inf, most / 7.5)
    wanted = [math.ceil(k / rate * RATE - 1e-2) for k in range(most)]
    assert said.asked[0][0] == [number for number in wanted if number < 30], "the video has 30 frames"


# chunks


def shows(first, last):
    """Says yes where a frame is one of these, and then describes it."""

    def answer(numbers, text):
        seen = [number for number in numbers if first <= number <= last]
        return ("Yes, it is." if seen else "No.") if "Answer yes or no only" in text else f"Frame\n{seen[0]}"

    return answer


def test_each_chunk_is_asked_by_itself(videos, tmp_path):
    """At 2 frames a second and 2 s a chunk; 7.5 s are 4 chunks."""
    said, path = Said(shows(9, 20)), tmp_path / "p.jsonl"
    run(said, [question("a")], videos, path, settings=CHUNKS)
    assert texts(path) == {"a": ["2.0 - 4.0 seconds, Frame 10\n4.0 - 6.0 seconds, Frame 16"]}
    chunks = [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18, 20, 22], [24, 26, 28]]
    asked = "What is a?"
    verdict = "Can the following question be answered from this part of a video? Answer yes or no only.\n"
    assert [(numbers, text) for numbers, text, _ in said.asked] == [
        (chunks[0], verdict + asked), (chunks[1], verdict + asked), (chunks[1], asked),
        (chunks[2], verdict + asked), (chunks[2], asked), (chunks[3], verdict + asked),
    ]  # fmt: skip
    assert {(text == asked, tokens) for _, text, tokens in said.asked} == {(True, 512), (False, 16)}
    found = read_predictions(path).by_id["a"]
    assert [(reply.time, reply.text) for reply in replies(found)] == [(3.0, "Frame 10"), (5.0, "Frame 16")]


def test_chunks_that_show_a_query_are_joined_and_the_longest_is_first(videos, tmp_path):
    """No second question is asked."""
    starts = (0, 4, 12, 16, 20, 28)  # the first frame of a chunk
    said, path = Said(lambda numbers, _: "Yes." if numbers[0] in starts else "no"), tmp_path / "p.jsonl"
    run(said, [question("a")], videos, path, settings=replace(CHUNKS, asks="span", chunks=1.0))
    assert texts(path) == {"a": ["3.0 - 6.0 seconds\n0.0 - 2.0 seconds\n7.0 - 7.5 seconds"]}
    assert all("Does this part of a video show" in text for _, text, _ in said.asked)
    assert len(said.asked) == 8
    found = read_predictions(path).by_id["a"]
    item = HighlightItem(
        qid=1, query="a", duration=8, vid="a", relevant_clip_ids=[2], saliency_scores=[(4, 4, 4)],
        relevant_windows=[(3.0, 6.0)],
    )  # fmt: skip
    scores = qvhighlights.score({"1": found}, {"1": item}).loc["1"]
    assert scores["MR-full-R1@0.95"] == 100
    grounded = GroundedItem(question_id="a", video="a.mp4", conversation=[], timestamps=[(3.0, 6.0)])
    assert charades_sta.evaluate({"a": found}, {"a": grounded})["mIoU"] == pytest.approx(100.0)


def test_where_nothing_is_said_the_text_is_empty(videos, tmp_path):
    path = tmp_path / "p.jsonl"
    outcome = run(Said(lambda *_: "Not in my eyes, nor yesterday."), [question("a")], videos, path, settings=CHUNKS)
    assert texts(path) == {"a": [""]}, "yes is a word"
    assert not outcome.failed
    found = read_predictions(path).by_id["a"]
    assert (found.segments, replies(found)) == ([], [])


def test_a_chunk_that_says_yes_and_then_nothing_is_left_out(videos, tmp_path):
    path = tmp_path / "p.jsonl"
    said = Said(lambda _, text: "yes" if "yes or no" in text else "")
    run(said, [question("a")], videos, path, settings=CHUNKS)
    assert texts(path) == {"a": [""]}


@given(st.floats(0.01, 1000), st.integers(1, 100))
def test_a_chunk_with_one_frame_or_more_is_never_refused(length, most):
    """Neither where 1 / x * x is less than 1."""
    for fps in (0.0, 1 / length, 2 / length):
        chosen = BaselineSettings(asks="span", frame_fps=fps, prompt=None, chunks=length, max_frames=most)
        assert chosen.rate(length) * length >= 1 - 1e-9


def test_later_turns_enter_their_own_chunk_and_nothing_is_asked_before_the_question(videos, tmp_path):
    said = Said(lambda *_: "no")
    asked = question("a", (2.0, "What?"), (5.0, "Subtitle: hello"), (6.0, "Subtitle: bye"))
    run(said, [asked], videos, tmp_path / "p.jsonl", settings=CHUNKS)
    turns = [text.split("Can the following")[0] for _, text, _ in said.asked]
    assert turns == ["", "Subtitle: hello\nSubtitle: bye\n", ""], "the chunk that ends at 2 s is not asked"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([0.1, 0.3, 0.5, 0.7, 1.0, 2.0, 2.5, 3.3, 100.0]),
    st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, 10.0]),
    st.integers(1, 9),
)
def test_every_frame_is_in_one_chunk(videos, tmp_path_factory, length, fps, most):
    """Frame k is at k / rate, and is the first source frame from then on."""
    said, path = Said(lambda *_: "yes"), tmp_path_factory.mktemp("chunks") / "p.jsonl"
    try:
        chosen = replace(CHUNKS, asks="span", chunks=length, frame_fps=fps, max_frames=most)
    except DuetError:
        assert 0 < fps * length < 1
        return
    run(said, [question("b")], videos, path, settings=chosen)
    rate, expected = chosen.rate(length), {}
    for k in range(1000):
        if (number := math.ceil(k / rate * RATE - 1e-2)) < 20:
            expected.setdefault(int(k / rate / length + 1e-6), []).append(number)
    assert [numbers for numbers, _, _ in said.asked] == list(expected.values())
    assert max(map(len, expected.values())) <= most
    end = min((max(expected) + 1) * length, 5.0)
    assert texts(path) == {"b": [f"0.0 - {round(end, 2)} seconds"]}, "all say yes"


# one file


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.sampled_from([WHOLE, CHUNKS]))
def test_wherever_a_run_was_cut_the_file_becomes_the_same(videos, tmp_path_factory, cut, chosen):
    folder = tmp_path_factory.mktemp("cut")
    model = Said(shows(0, 10))
    whole = run(model, QUESTIONS, videos, folder / "whole.jsonl", settings=chosen).path
    text, path = whole.read_bytes(), folder / "p.jsonl"
    path.write_bytes(text[: cut % len(text)])
    settings_path(path).write_bytes(settings_path(whole).read_bytes())
    run(model, QUESTIONS, videos, path, settings=chosen)
    assert path.read_bytes() == text


def test_other_settings_weights_and_files_are_refused(videos, tmp_path):
    path = tmp_path / "p.jsonl"
    run(Said(), QUESTIONS, videos, path, settings=WHOLE)
    before = path.read_bytes()
    with pytest.raises(DuetError, match="settings / prompt was 'tc', is 'vt'"):
        run(Said(), QUESTIONS, videos, path, settings=replace(WHOLE, prompt="vt"))
    with pytest.raises(DuetError, match="weights was 'none', is 'new'"):
        run(Said(weights="new"), QUESTIONS, videos, path, settings=WHOLE)
    assert path.read_bytes() == before
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(FileError, match="another kind"):
        run(Said(), QUESTIONS, videos, tmp_path / "notes", settings=WHOLE)


# the command


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return write_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture
def command(tmp_path, videos, llava):
    """Arguments of `mmduet baseline`; the third question's video is missing."""
    spans = {"timestamps": [[0.0, 2.0]], "answer": [{"content": "a cat", "time": [0.0, 2.0]}]}
    asked = [
        {"question_id": name, "video": f"{name}.mp4", **spans,
         "conversation": [{"role": "user", "content": f"What is {name}?", "time": 0}]} for name in ("a", "b", "gone")
    ]  # fmt: skip
    (tmp_path / "questions.json").write_text(json.dumps(asked))
    return [
        "--model", str(llava), "--references", str(tmp_path / "questions.json"), "--videos", str(videos),
        "--frame-size", "32", "--max-frames", "6", "--max-new-tokens", "8", "--output", str(tmp_path / "p.jsonl"),
    ]  # fmt: skip


def invoke(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.mark.parametrize("how", [["--prompt", "tc"], ["--prompt", "vt"], ["--chunks", "2"]])
@pytest.mark.parametrize("benchmark", ["charades_sta", "magqa"])
def test_a_llava_answers_and_evaluate_reads(command, tmp_path, benchmark, how):
    result = invoke("baseline", benchmark, *command, *how)
    assert result.exit_code == 1, result.output
    assert "3 questions, 3 of them new" in result.output
    assert "1 of 3 questions failed" in result.output
    assert "gone.mp4 does not exist" in result.output
    found = read_predictions(tmp_path / "p.jsonl")
    assert (list(found.by_id), list(found.errors)) == (["a", "b"], ["gone"])
    assert found.by_id["a"].segments is not None, "read as a whole-video baseline"
    if benchmark == "charades_sta":
        files = ["--predictions", tmp_path / "p.jsonl", "--references", tmp_path / "questions.json"]
        result = invoke("evaluate", benchmark, *files)
        assert result.exit_code == 0, result.output
        assert "mIoU" in result.output
    assert "3 questions, 1 of them new" in invoke("baseline", benchmark, *command, *how).output


def test_killed_for_real(command, tmp_path):
    """SIGKILL after the first line; then the same command again."""
    program = [sys.executable, "-m", "mmduet", "baseline", "magqa", *command]
    process = subprocess.Popen(program, stderr=subprocess.PIPE, env=os.environ | {"TQDM_MININTERVAL": "0"})
    assert process.stderr is not None
    heard = b""
    while b"1/3" not in heard and (byte := process.stderr.read(1)):
        heard += byte
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert b"1/3" in heard, heard[-2000:].decode()
    assert invoke("baseline", "magqa", *command).exit_code == 1
    killed = (tmp_path / "p.jsonl").read_bytes()
    (tmp_path / "p.jsonl").unlink()
    invoke("baseline", "magqa", *command)
    assert (tmp_path / "p.jsonl").read_bytes() == killed
    assert [json.loads(line)["question_id"] for line in killed.splitlines()] == ["a", "b", "gone"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--prompt", "hawkeye"], "prompt='hawkeye' is not known"),
        (["--prompt", "tc", "--chunks", "2"], "give one of the two"),
        (["--references", "none.json"], "none.json"),
        (["--output", "questions.json"], "questions.json"),
    ],
)
def test_everything_is_checked_before_a_model_is_loaded(command, tmp_path, monkeypatch, more, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mmduet.evaluation.chat_model.load_chat_model", lambda *_, **__: pytest.fail("it is loaded"))
    result = invoke("baseline", "charades_sta", *command, *more)
    assert isinstance(result.exception, DuetError)
    assert message in str(result.exception)


def test_a_model_of_another_kind_is_refused(command):
    result = invoke("baseline", "charades_sta", *command, "--model", "mini")
    assert isinstance(result.exception, CheckpointError)
    assert "'mini' is no folder and no hub id (owner/name)" in str(result.exception)
