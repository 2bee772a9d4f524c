"""`mmduet evaluate`: benchmarks whose replies a judge rates, and the options of a score of one's own."""

import json
import sys
from dataclasses import replace
from types import ModuleType
from typing import Annotated

import pytest
from typer.testing import CliRunner

from examples.own_benchmark import FIRST_RESPONSE, score
from mmduet.cli import app
from mmduet.errors import DuetError

ASKED = {"role": "user", "content": "What?", "time": 0}
NAMES = {"magqa": "{}*0*0", "proactivevideoqa": "{}=0=3.0"}  # of the pair of a question's only reply
LINE = {"question_id": 1, "video_duration": 9.0, "model_response_list": [], "debug_data": []}
REFERENCE = {"question_id": 1, "video": "a.mp4", "question": "When?", "event": 3}


@pytest.fixture(params=NAMES)
def judged(request, tmp_path):
    """A command for 3 questions, of which the last has no reply, and the names of the other's pairs."""
    answers = {
        "magqa": {"content": "A cat.", "time": [2, 6]},
        "proactivevideoqa": {"content": "A cat.", "reply_timespan": [2, 6]},
    }
    answer = {"role": "assistant"} | answers[request.param]
    items = [
        {"question_id": name, "question": "What?", "video": "v.mp4", "duration": 9.0, "conversation": [ASKED],
         "answer": [answer]}
        for name in "abc"
    ]  # fmt: skip
    (tmp_path / "gold.json").write_text(json.dumps(items))
    said = {name: [{"role": "assistant", "content": "A cat.", "time": 3.0}] * (name != "c") for name in "abc"}
    lines = [
        {"question_id": name, "video_duration": 9.0, "model_response_list": [ASKED, *turns]}
        for name, turns in said.items()
    ]
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    command = ["evaluate", request.param, "--predictions", str(path), "--references", str(tmp_path / "gold.json")]
    return command, [NAMES[request.param].format(name) for name in "ab"]


def evaluated(command, names, folder):
    """The result of a command that reads the ratings of some pairs, and the figures that it wrote."""
    ratings = [
        {"custom_id": name, "response": {"body": {"choices": [{"message": {"content": "1"}}]}}} for name in names
    ]
    (folder / "batch.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in ratings))
    output = folder / "figures.json"
    more = ["--read-batch", str(folder / "batch.jsonl"), "--output", str(output)]
    result = CliRunner().invoke(app, [*command, *more])
    return result, json.loads(output.read_text()) if output.exists() else None


@pytest.mark.parametrize("count", [0, 1, 2])
def test_pairs_without_a_rating_are_in_the_status_and_the_output(judged, tmp_path, count):
    command, names = judged
    result, figures = evaluated(command, names[:count], tmp_path)
    assert result.exit_code == (0 if count == 2 else 1)
    if not count:
        assert isinstance(result.exception, DuetError)
        assert "none of 2 pairs has a rating, the first of question 'a': not rated: " in str(result.exception)
        assert figures is None, "the figure of the silent question alone is no figure of the model"
        return
    assert figures["errors"] == {"value": 2 - count, "low": None, "high": None, "unit": "pairs"}
    assert ("1 pairs have no rating and are in no figure" in result.output) == (count == 1)


def test_without_a_reply_there_is_nothing_to_rate(judged, tmp_path):
    command, _ = judged
    path = tmp_path / "silent.jsonl"
    path.write_text(json.dumps({"question_id": "c", "video_duration": 9.0, "model_response_list": [ASKED]}))
    command[3] = str(path)
    result, figures = evaluated(command, [], tmp_path)
    assert result.exit_code == 0, result.output
    assert figures["errors"]["value"] == 0


@pytest.mark.parametrize(
    ("kind", "default", "given", "taken"),
    [
        (tuple[float, ...], (0.5, 1.0), [], (0.5, 1.0)),
        (tuple[float, ...], (0.5, 1.0), ["--bounds", "2", "--bounds", "3"], (2.0, 3.0)),
        (tuple[str, ...], (), [], ()),
        (tuple[int, ...] | None, None, [], None),
        (tuple[int, ...] | None, None, ["--bounds", "7"], (7,)),
        (list[float], [0.5], ["--bounds", "2"], [2.0]),
        (tuple[float, float], (0.0, 1.0), ["--bounds", "2", "3"], (2.0, 3.0)),
        (float, 0.5, ["--bounds", "2"], 2.0),
    ],
)
def test_an_option_may_be_a_tuple(kind, default, given, taken, tmp_path, monkeypatch):
    seen = []

    def own(predictions, references, *, bounds: Annotated[kind, "Bounds, s."] = default):
        seen.append(bounds)
        return score(predictions, references)

    module = ModuleType("bounded")
    module.BOUNDED = replace(FIRST_RESPONSE, score=own)
    monkeypatch.setitem(sys.modules, "bounded", module)
    for name, value in (("lines.jsonl", LINE), ("test.json", [REFERENCE])):
        (tmp_path / name).write_text(json.dumps(value))
    paths = ["--predictions", str(tmp_path / "lines.jsonl"), "--references", str(tmp_path / "test.json")]
    done = CliRunner().invoke(app, ["evaluate", "bounded:BOUNDED", *paths, *given])
    assert done.exit_code == 0, done.exception or done.output
    assert seen == [taken]
    shown = CliRunner().invoke(app, ["evaluate", "bounded:BOUNDED", "--help"]).output
    assert "Bounds, s." in shown
    assert "Ellipsis" not in shown
