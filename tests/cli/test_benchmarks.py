"""Options of a benchmark's own score as options of the command."""

import json
import sys
from dataclasses import replace
from types import ModuleType
from typing import Annotated

import pytest
from typer.testing import CliRunner

from examples.own_benchmark import FIRST_RESPONSE, score
from mmduet.cli import app

LINE = {"question_id": 1, "video_duration": 9.0, "model_response_list": [], "debug_data": []}
REFERENCE = {"question_id": 1, "video": "a.mp4", "question": "When?", "event": 3}


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
