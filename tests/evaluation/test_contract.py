"""What a user's own benchmark returns, and the spans of its items: a mistake is one sentence, by every way in."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from mmduet import Query
from mmduet.cli import app
from mmduet.errors import DuetError
from mmduet.evaluation import Benchmark, Metric, Question, Settings, evaluate
from mmduet.evaluation.prediction_file import PredictionFile, read_predictions
from tests.evaluation.conftest import prediction

NAMES = ("1", "2")


class Entry(BaseModel):
    question_id: int
    video: str
    spans: Any = []


def table(index=NAMES, **columns):
    return pd.DataFrame({"hit": [1.0, 0.0]} | columns, index=pd.Index(index, name="question_id"))


def made(**parts):
    given = {"metrics": {"hit": Metric("0 to 1")}, "score": lambda predictions, references: table()} | parts
    return Benchmark(name="mine", title="Mine", item=Entry, settings=Settings(frame_fps=1.0), **given)


def scored(value, metric=None):
    return made(score=lambda *_: value, metrics={"hit": metric or Metric("0 to 1")})


def combined(make):
    return made(combined=make, metrics={"hit": Metric("0 to 1"), "total": Metric("0 to 1")})


def judged(**columns):
    return made(score=lambda *_: table(**columns), errors="unrated")


def asked(make):
    return made(question=make)


@pytest.fixture
def files(tmp_path):
    return write(tmp_path)


def write(folder, **entry):
    """A test file and a prediction file of two questions."""
    items = [{"question_id": int(name), "video": f"{name}.mp4"} | entry for name in NAMES]
    (folder / "test.json").write_text(json.dumps(items))
    traces = [prediction(name, relevance=[0.1, 0.9, 0.2], responses=[(1.0, "now")]) for name in NAMES]
    lines = [json.dumps(each.trace.to_prediction(each.question_id, 3.0)) for each in traces]
    (folder / "answers.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "test.json", folder / "answers.jsonl"


def command(name, benchmark, files, monkeypatch, *more):
    """Run `mmduet NAME module:OBJECT`, and give its result."""
    monkeypatch.setattr(sys.modules[__name__], "MINE", benchmark, raising=False)
    references, predictions = map(str, files)
    words = {
        "evaluate": [f"{__name__}:MINE", "--references", references, "--predictions", predictions],
        "timing": [f"{__name__}:MINE", predictions, references],
        "calibrate": [predictions, "--references", references, "--benchmark", f"{__name__}:MINE"],
    }
    return CliRunner().invoke(app, [name, *words[name], *more])


WRONG = {
    "list": (scored([1, 2]), "score returned an object of type list: return a DataFrame with a row a question"),
    "series": (scored(table()["hit"]), "score returned an object of type Series: return a DataFrame"),
    "no return": (scored(None), "score returned None: return a DataFrame"),
    "misspelt column": (
        scored(table().rename(columns={"hit": "hits"})),
        "score returned no column 'hit' (its columns: 'hits'): name it as in the benchmark's metrics",
    ),
    "infinite": (scored(table(hit=[1.0, np.inf])), "inf in the column 'hit' of question '2': give NaN for no value"),
    "text": (scored(table(hit=["yes", "no"])), "'yes' in the column 'hit' of question '1': give a number"),
    "some text": (scored(table(hit=[1.0, "no"])), "'no' in the column 'hit' of question '2': give a number"),
    "column twice": (scored(pd.concat([table(), table()], axis=1)), "the column 'hit' more than once"),
    "row twice": (scored(table(index=["1", "1"])), "the row '1' more than once"),
    "unknown row": (scored(table(index=["1", "3"])), "a row '3', which is no question of the test file"),
    "no index": (scored(table(index=[0, 1])), "a row 0, which is no question of the test file: the index has the"),
    "rows by number": (scored(table(index=[1, 2])), "questions' ids as text, such as '1'"),
    "no weight": (scored(table(), Metric("", weight="n")), "no column 'n', the weight of the metric 'hit'"),
    "negative weight": (
        scored(table(n=[1, -2]), Metric("", weight="n")), "-2 in the column 'n' of question '2': a weight is a number",
    ),
    "weight without value": (
        scored(table(n=[np.nan, 1.0]), Metric("", weight="n")), "nan in the column 'n' of question '1': a weight is",
    ),
    "no errors": (judged(), "score returned no column 'unrated' (its columns: 'hit'): name it as"),
    "errors in words": (judged(unrated=["none", "1"]), "'none' in the column 'unrated' of question '1': give a number"),
    "combined list": (combined(lambda means: [0.5]), "combined returned an object of type list: return a dict"),
    "combined without return": (combined(lambda means: None), "combined returned None: return a dict"),
    "combined number": (
        combined(lambda means: {"total": float(means["hit"].mean())}),
        "combined returned 'total' with shape () and type float64: return a float array [1001]",
    ),
    "combined text": (combined(lambda means: {"total": "high"}), "combined returned 'total' with shape ()"),
    "combined infinite": (combined(lambda means: {"total": means["hit"] + np.inf}), "'total' with an infinite value"),
    "combined misspelt": (combined(lambda means: {"all": means["hit"]}), "combined returned no column 'total'"),
    "read dict": (made(read=lambda *_: {}), "read returned an object of type dict: return a PredictionFile"),
    "read without return": (made(read=lambda *_: None), "read returned None: return a PredictionFile"),
    "read texts": (
        made(read=lambda path, _: PredictionFile(path, {"1": "now"})),
        "read for question '1' returned an object of type str: return a Prediction for each question",
    ),
    "entries without return": (made(entries=lambda places: None), "entries returned None: return a list with a pair"),
    "entries without places": (
        made(entries=lambda places: [value for _, value in places]), "return a list with a pair (position as text",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("benchmark", "message"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_one_sentence_that_names_benchmark_function_and_fix(benchmark, message, files, monkeypatch):
    references, predictions = files
    done = command("evaluate", benchmark, files, monkeypatch)
    assert done.exit_code != 0
    with pytest.raises(DuetError) as by_run:
        evaluate.run(benchmark, "no model", references, references.parent, predictions=predictions)
    for error in (done.exception, by_run.value):
        assert isinstance(error, DuetError), done.output
        assert str(error).startswith("benchmark 'mine': ")
        assert message in str(error)
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", ["timing", "calibrate"])
@pytest.mark.parametrize("case", ["read dict", "read texts", "entries without return"])
def test_the_other_commands_check_it_too(name, case, files, monkeypatch):
    benchmark, message = WRONG[case]
    done = command(name, benchmark, files, monkeypatch, *(["--target", "rate=3"] if name == "calibrate" else []))
    assert isinstance(done.exception, DuetError), done.output
    assert message in str(done.exception)


def test_a_benchmarks_own_command_is_checked(files, monkeypatch):
    done = command("evaluate", made(command=lambda *_: table(hit=[1.0, np.inf])), files, monkeypatch)
    assert "command returned inf in the column 'hit'" in str(done.exception)
    assert command("evaluate", made(command=lambda *_: None), files, monkeypatch).exit_code == 0, "nothing was scored"


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("What?", "question returned an object of type str: return a Question"),
        (None, "question returned None: return a Question"),
        (Query(0.0, "What?"), "question returned an object of type Query: return a Question"),
        (Question(7, "1.mp4", (Query(0.0, "What?"),)), "question 7 for item '1': give it the item's id"),
        (Question(1, "1.mp4", Query(0.0, "What?")), "question '1' with queries=Query(time=0.0, text='What?'): give a"),
        (Question(1, "1.mp4", "What?"), "question '1' with queries='What?': give a tuple of Query"),
        (Question(1, "1.mp4", ("What?",)), "question '1' with queries=('What?',): give a tuple of Query"),
        (Question(1, "1.mp4", ()), "question '1' without a query"),
        (Question(1, None, (Query(0.0, "What?"),)), "question '1' with video=None"),
        (Question(1, "1.mp4", (Query(np.nan, "What?"),)), "give a float from 0 s on, and text"),
        (Question(1, "1.mp4", (Query(-1.0, "What?"),)), "give a float from 0 s on, and text"),
        (Question(1, "1.mp4", (Query("What?", 0.0),)), "give a float from 0 s on, and text"),
        (Question(1, "1.mp4", (Query(np.float32(1), "What?"),)), "give a float from 0 s on, and text"),
    ],
)
def test_a_wrong_question_is_refused_before_a_model_is_loaded(question, message, files):
    references, _ = files
    with pytest.raises(DuetError) as refused:
        evaluate.run(asked(lambda item: question), "no model", references, references.parent)
    assert str(refused.value).startswith("benchmark 'mine': question returned ")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("hit", "mean"),
    [
        ([1, 0], 0.5), ([True, False], 0.5), ([1.0, None], 1.0), ([np.nan, 0.0], 0.0), ([True, None], 1.0),
        ([None, None], np.nan), ([1, pd.NA], 1.0), (pd.array([1, None], dtype="Int64"), 1.0),
    ],
)  # fmt: skip
def test_numbers_of_any_type_count_and_what_is_missing_does_not(hit, mean, files):
    references, predictions = files
    result = evaluate.run(scored(table(hit=hit)), "", references, references.parent, predictions=predictions)
    assert result.estimates["hit"].value == pytest.approx(mean, nan_ok=True)


def test_what_is_right_is_taken(files, monkeypatch):
    benchmark = made(
        score=lambda *_: table(n=[np.nan, 2], hit=[np.nan, 1.0], note=["text", "of any kind"]),
        metrics={"hit": Metric("0 to 1", weight="n"), "total": Metric("%"), "rare": Metric("%", optional=True)},
        combined=lambda means: {"total": 100 * means["hit"]},
        read=lambda path, _: read_predictions(path),
        entries=list,
    )
    done = command("evaluate", benchmark, files, monkeypatch)
    assert done.exit_code == 0, done.output
    assert "hit   1 [–]   0 to 1" in done.output
    assert "total 100 [–] %" in done.output
    parts = made(score=lambda *_: table(index=["1_0", "1_1"]), parts=True)
    assert command("evaluate", parts, files, monkeypatch).exit_code == 0


# spans


@pytest.mark.parametrize(
    "spans",
    [
        [[3, 1]], [[-1, 2]], [[0, 1], [2.0, -3.0]], [[1]], [[0, 1, "a", "b"]], [[0, 1, 2]], [["0", "1"]], [[0, None]],
        [3, 4], "0-3", 5, {"start": 0}, None,
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["evaluate", "timing", "calibrate"])
def test_wrong_spans_are_refused_with_their_question(spans, name, tmp_path, monkeypatch):
    files = write(tmp_path, spans=spans)
    done = command(name, made(), files, monkeypatch, *(["--target", "rate=3"] if name == "calibrate" else []))
    assert isinstance(done.exception, DuetError), done.output
    assert str(done.exception).startswith(f"{files[0]}: question '1' has ")
    assert "spans is a list of [start, end] or [start, end, label], with 0 <= start <= end" in str(done.exception)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_spans_that_a_property_makes_are_finite(number, files):
    class Made(Entry):
        @property
        def spans(self):
            return [(0.0, number)]

    with pytest.raises(DuetError, match="question '1' has"):
        Benchmark(
            name="mine", title="", item=Made, settings=Settings(frame_fps=1.0), score=lambda: None, metrics={}
        ).read_references(files[0])


@pytest.mark.parametrize("spans", [[[0, 1]], [[0.5, 2.0, "it moves"], [1, 1]]])
def test_spans_give_timing_and_targets(spans, tmp_path, monkeypatch):
    files = write(tmp_path, spans=spans)
    done = command("evaluate", made(), files, monkeypatch)
    assert done.exit_code == 0, done.output
    assert "timing recall" in done.output
    done = command("calibrate", made(), files, monkeypatch, "--target", "f1")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("entry", [{}, {"spans": []}], ids=str)
def test_without_spans_a_rate_can_be_calibrated_and_no_timing_figure(entry, tmp_path, monkeypatch):
    files = write(tmp_path, **entry)
    done = command("calibrate", made(), files, monkeypatch, "--target", "rate=3")
    assert done.exit_code == 0, done.output
    for target in ("f1", "pauc", "false-alarms=1"):
        error = str(command("calibrate", made(), files, monkeypatch, "--target", target).exception)
        assert f"target='{target}' needs reference spans, and no question has any: give the items" in error
        assert "`spans`, [[start, end], …] in seconds, or use rate=N" in error


def test_items_need_no_spans_at_all(files, monkeypatch):
    class Plain(BaseModel):
        question_id: int
        video: str

    benchmark = Benchmark(
        name="mine", title="Mine", item=Plain, settings=Settings(frame_fps=1.0), score=lambda: None, metrics={}
    )
    done = command("calibrate", benchmark, files, monkeypatch, "--target", "rate=3")
    assert done.exit_code == 0, done.output


def test_an_exception_of_the_users_own_code_shows_its_lines_and_not_typers(files):
    references, predictions = files
    (references.parent / "faulty.py").write_text(
        "from tests.evaluation.test_contract import made\n\n"
        "def score(predictions, references):\n    return 1 / 0\n\nFAULTY = made(score=score)\n"
    )
    words = ["evaluate", "faulty:FAULTY", "--references", str(references), "--predictions", str(predictions)]
    done = subprocess.run(
        [sys.executable, "-m", "mmduet", *words], capture_output=True, text=True, check=False, cwd=references.parent,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 1
    assert "return 1 / 0" in done.stderr
    assert "site-packages" not in done.stderr, "the frames of typer say nothing to the user"
