"""`mmduet timing`, and the timing that `mmduet evaluate` prints."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.errors import DuetError, FileError

runner = CliRunner()
ASKED = {"role": "user", "content": "What?", "time": 0}
SAID = [(12.0, "Yes."), (13.0, "Yes."), (40.0, "No.")]


def write(folder, benchmark, *, text=None):
    """A prediction file and a test file of a question of 60 s with a span from 10 s to 20 s. text: of a baseline."""
    turns = [ASKED, *({"role": "assistant", "content": said, "time": time} for time, said in SAID)]
    frames = [{"time": float(t), "informative_score": 0.5, "relevance_score": t / 60} for t in range(60)]
    answer: dict[str, Any] = {"model_response_list": turns, "debug_data": frames}
    if text is not None:
        answer = {"model_response": [text]}
    item: dict[str, Any] = {"question_id": 1, "video": "a.mp4", "conversation": [ASKED]}
    labels: dict[str, Any] = {
        "magqa": item | {"answer": [{"role": "assistant", "content": "Yes.", "time": [10, 20]}]},
        "charades_sta": item | {"timestamps": [[10, 20]]},
        "qvhighlights": {
            "qid": 1, "query": "q", "duration": 60, "vid": "v", "relevant_clip_ids": [5, 6],
            "saliency_scores": [[4, 3, 2], [1, 0, 4]], "relevant_windows": [[10, 20]],
        },
    }  # fmt: skip
    found = folder / f"{benchmark}.jsonl", folder / f"{benchmark}_test.jsonl"
    found[0].write_text(json.dumps({"question_id": 1, "video_duration": 60.0, **answer}))
    found[1].write_text(json.dumps(labels[benchmark]))
    return tuple(map(str, found))


def rows_of(output):
    """The figures that a command prints: name -> value as printed."""
    lines = [line.split("[")[0].split() for line in output.splitlines() if "[" in line]
    return {" ".join(words[:-1]): words[-1] for words in lines}


def test_evaluate_prints_the_timing_after_the_benchmarks_own_figures(tmp_path):
    predictions, references = write(tmp_path, "charades_sta")
    given = ["--predictions", predictions, "--references", references, "--output", str(tmp_path / "figures.json")]
    for _ in range(2):  # the second time over its own file
        done = runner.invoke(app, ["evaluate", "charades_sta", *given])
        assert done.exit_code == 0, done.output
    assert done.output.index("R@0.7") < done.output.index("timing of responses, 1 questions:")
    printed = {
        "responses a minute": 3, "responses a minute in spans": 12, "responses a minute outside spans": 1.2,
        "timing precision": 2 / 3, "timing recall": 1, "delay in spans": 2, "literal duplicates": 0.5,
    }  # fmt: skip
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert list(figures)[:4] == ["mIoU", "R@0.3", "R@0.5", "R@0.7"], "what a script reads stays where it was"
    assert {name: figures[f"timing: {name}"]["value"] for name in printed} == pytest.approx(printed)
    assert figures["timing: delay in spans"]["unit"] == "s"
    shown = rows_of(done.output)
    assert {name: float(shown[name]) for name in printed} == pytest.approx(printed, abs=5e-4)


@pytest.mark.parametrize("text", ["10.0 - 20.0 seconds, yes", "I do not know."])
def test_a_baseline_has_no_timing(tmp_path, text):
    predictions, references = write(tmp_path, "charades_sta", text=text)
    given = ["--predictions", predictions, "--references", references, "--output", str(tmp_path / "figures.json")]
    done = runner.invoke(app, ["evaluate", "charades_sta", *given])
    assert done.exit_code == 0, done.output
    assert "no timing: the model did not choose the times of its responses." in done.output
    assert not any("timing" in name for name in json.loads((tmp_path / "figures.json").read_text()))


def test_a_file_that_is_no_prediction_file_has_no_timing(tmp_path):
    _, references = write(tmp_path, "qvhighlights")
    submission = tmp_path / "submission.jsonl"
    submission.write_text(json.dumps({"qid": 1, "vid": "v", "query": "q", "pred_saliency_scores": [0.5] * 30}))
    given = ["--predictions", str(submission), "--references", references, "--submission"]
    done = runner.invoke(app, ["evaluate", "qvhighlights", *given])
    assert done.exit_code == 0, done.output
    assert "HL-min-VeryGood-mAP" in done.output
    assert f"no timing: {submission}, line 1" in done.output


def test_timing_puts_several_benchmarks_into_one_table(tmp_path):
    files = [["magqa", *write(tmp_path, "magqa")], ["charades_sta", *write(tmp_path, "charades_sta", text="Nothing.")]]
    output = tmp_path / "timing.json"
    for _ in range(2):
        done = runner.invoke(app, ["timing", *files[0], *files[1], "--output", str(output)])
        assert done.exit_code == 0, done.output
    assert "magqa: 1 questions" in done.output
    delays = next(line for line in done.output.splitlines() if line.startswith("delay in spans (s)"))
    assert delays.split()[-3:] == ["2", "[–]", "–"], "one question says nothing of its uncertainty"
    figures = json.loads(output.read_text())
    assert figures["magqa: responses a minute"] == {"value": 3, "low": None, "high": None, "unit": "of video"}
    assert figures["charades_sta: responses a minute"]["value"] is None, "not known, and not 0"


def test_two_systems_on_one_benchmark_are_named_by_their_files(tmp_path):
    predictions, references = write(tmp_path, "magqa")
    other = tmp_path / "other.jsonl"
    other.write_bytes((tmp_path / "magqa.jsonl").read_bytes())
    done = runner.invoke(app, ["timing", "magqa", predictions, references, "magqa", str(other), references])
    assert done.exit_code == 0, done.output
    assert f"magqa, {predictions}: 1 questions" in done.output
    assert f"magqa, {other}: 1 questions" in done.output


def test_mistakes_are_one_sentence(tmp_path):
    one = ["magqa", *write(tmp_path, "magqa")]
    for given, error, message in (
        (one[:2], DuetError, "2 arguments: give BENCHMARK PREDICTIONS REFERENCES"),
        (one * 2, DuetError, "comes twice"),
        (["nothing", *one[1:]], DuetError, "nothing"),
        ([*one, "--output", one[1]], FileError, one[1]),
    ):
        done = runner.invoke(app, ["timing", *given])
        assert isinstance(done.exception, error), done.output
        assert message in str(done.exception)


def test_help():
    done = runner.invoke(app, ["timing", "--help"])
    assert done.exit_code == 0
    assert "BENCHMARK PREDICTIONS REFERENCES" in done.output
