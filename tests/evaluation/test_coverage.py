"""Which predictions belong to which references: a line that states its question answers that of the references."""

import json

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from examples.own_benchmark import FIRST_RESPONSE
from mmduet.cli import app
from mmduet.data.scenes import make_scenes
from mmduet.errors import DuetError
from mmduet.evaluation import BENCHMARKS, CHARADES_STA, QVHIGHLIGHTS, Benchmark, Settings, evaluate
from mmduet.evaluation.coverage import read_matched
from mmduet.evaluation.predict import stated_question

runner = CliRunner()
ODD = [
    {"question_id": 1, "video": "a.mp4", "question": "Tell me.", "event": 3},
    {"question_id": 2, "video": "b/b.mp4", "question": "\u2028 And \u00fc?", "event": 4.5},
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("data"), train=0, val=0, test=2)


@pytest.fixture(params=[*BENCHMARKS.values(), FIRST_RESPONSE], ids=lambda benchmark: benchmark.name)
def case(request, data, tmp_path):
    """A benchmark, a test file of it and the folder of its videos."""
    benchmark = request.param
    if benchmark.scenes:
        return benchmark, data / "annotations" / benchmark.scenes, data / "videos" / "test"
    (tmp_path / "odd.json").write_text(json.dumps(ODD))
    return benchmark, tmp_path / "odd.json", tmp_path


def answered(benchmark, references, videos, change=dict):
    """Lines as `predict` writes them."""
    scores = [{"time": i / 2, "informative_score": 0.5, "relevance_score": i / 10} for i in range(8)]
    line = {"video_duration": 99.0, "model_response_list": [], "debug_data": scores}
    return [
        {"question_id": question.question_id, **line, "asked": change(stated_question(question, videos))}
        for question in benchmark.read_questions(references)
    ]


def first_query(asked, **change):
    first, *others = asked["queries"]
    return asked | {"queries": [first | change, *others]}


TAKEN = {
    "as asked": dict,
    "videos that were replaced": lambda asked: asked | {"bytes": 1},
    "no question stated, as published": lambda _: {},
    "the video alone": lambda asked: {"video": asked["video"]},
    "turns of a frame-input file": lambda _: {"turns": [{"frames": 2, "text": "?"}], "images": ["a.jpg"]},
    "a field of a later version": lambda asked: asked | {"speed": 2},
}
REFUSED = {
    "video": lambda asked: asked | {"video": "other.mp4"},
    "text": lambda asked: first_query(asked, text="Something else?"),
    "time": lambda asked: first_query(asked, time=77.0),
    "one more turn": lambda asked: asked | {"queries": [*asked["queries"], {"time": 78.0, "text": "And?"}]},
}


@pytest.mark.parametrize("change", TAKEN.values(), ids=TAKEN)
def test_answers_to_the_questions_of_the_references_are_taken(change, case, written):
    benchmark, references, _ = case
    found, items = read_matched(benchmark, written(*answered(*case, change)), references, str)
    assert list(found) == list(items)


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_answers_to_another_question_are_refused(change, case, written):
    lines = answered(*case)
    lines[-1]["asked"] = change(lines[-1]["asked"])
    with pytest.raises(DuetError, match=rf"answers another question with the id '{lines[-1]['question_id']}' .*: give"):
        read_matched(case[0], written(*lines), case[1], str)


def test_every_command_that_reads_both_refuses(case, written, tmp_path):
    benchmark, references, videos = case
    path = str(written(*answered(*case, REFUSED["video"])))
    name = "examples.own_benchmark:FIRST_RESPONSE" if benchmark is FIRST_RESPONSE else benchmark.name
    given, output = ["--predictions", path, "--references", str(references)], ["--output", str(tmp_path / "out")]
    commands = [
        ["evaluate", name, *given],
        ["timing", name, path, str(references)],
        ["calibrate", "--target", "rate=1", "--benchmark", name, path, "--references", str(references), *output],
        *([["export", name, path, "--references", str(references), *output]] if benchmark.export else []),
    ]
    for command in commands:
        error = str(runner.invoke(app, command).exception)
        assert "answers another question" in error, f"{command[0]}: {error}"
    with pytest.raises(DuetError, match="answers another question"):
        evaluate.run(benchmark, "none", references, videos, predictions=path)
    assert not (tmp_path / "out").exists()


def test_references_that_ask_nothing_have_nothing_to_compare(data, written, tmp_path):
    """References for labels alone: a conversation without a turn, or an item of one's own without a question."""
    lines = answered(CHARADES_STA, references := data / "annotations" / CHARADES_STA.scenes, data / "videos" / "test")
    entries = [entry | {"conversation": []} for entry in json.loads(references.read_text())]
    (tmp_path / "labels.json").write_text(json.dumps(entries))
    assert read_matched(CHARADES_STA, written(*lines), tmp_path / "labels.json", str)[0]

    class Labels(BaseModel):
        question_id: str
        video: str

    own = Benchmark(name="own", title="Own", item=Labels, settings=Settings(1.0), score=len, metrics={})
    assert read_matched(own, written(*lines), tmp_path / "labels.json", str)[0]
    with pytest.raises(DuetError, match="has no conversation: give the benchmark a `question` function"):
        own.read_questions(tmp_path / "labels.json")


def test_what_a_line_states_is_an_object(written):
    line = {"question_id": 1, "video_duration": 9.0, "model_response_list": [], "asked": "What?"}
    with pytest.raises(DuetError, match="field asked"):
        QVHIGHLIGHTS.read_predictions(written(line), {})
