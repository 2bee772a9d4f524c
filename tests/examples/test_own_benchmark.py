"""examples/own_benchmark.py: predicted, evaluated and plotted from a folder outside the package."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from mmduet.evaluation import evaluate, find_benchmark
from tests.clips import write_clip

ROOT = Path(__file__).resolve().parents[2]
EVENTS = [
    {"question_id": 1, "video": "a.mp4", "question": "Say when it moves.", "event": 0.5},
    {"question_id": 2, "video": "a.mp4", "question": "Say when it stops.", "event": 1.5},
]


def fingerprints():
    """The state of every file of the package and its widgets."""
    folders = [ROOT / "mmduet", ROOT / "widgets"]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return {path: path.read_bytes() for path in paths if path.suffix in (".py", ".js", ".css", ".yaml", ".j2")}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the example, a test file and a clip; the current folder of the test."""
    shutil.copy(ROOT / "examples" / "own_benchmark.py", tmp_path)
    (tmp_path / "videos").mkdir()
    write_clip(tmp_path / "videos" / "a.mp4")
    (tmp_path / "events.json").write_text(json.dumps(EVENTS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("own_benchmark", None)


def mmduet(*words):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mmduet", *words], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_take_it_by_name_and_no_file_of_the_package_changes(folder):
    before = fingerprints()
    name, asked = "own_benchmark:FIRST_RESPONSE", ["--references", "events.json"]
    settings = ["--model", "tiny", "--threshold", "0.1", "--max-new-tokens", "2"]
    mmduet("predict", name, *asked, "--videos", "videos", "--output", "answers.jsonl", *settings)
    said = mmduet("evaluate", name, *asked, "--predictions", "answers.jsonl", "--limit", "0.75", "--output", "f.json")
    assert "limit 0.75:" in said
    figures = json.loads((folder / "f.json").read_text())
    assert {name: figure["unit"] for name, figure in figures.items()} == {"delay": "s", "in time": "%"}
    assert 0 <= figures["delay"]["value"] <= 0.5, "with a low threshold the model responds after the next frame"
    assert figures["in time"]["value"] == 100
    assert fingerprints() == before


def test_a_notebook_takes_it_and_plots_it(folder, tiny):
    import own_benchmark

    result = evaluate.run(
        own_benchmark.FIRST_RESPONSE, tiny, "events.json", "videos",
        settings={"threshold": 0.1, "max_new_tokens": 2, "frame_fps": None}, scoring={"limit": 0.75},
    )  # fmt: skip
    assert list(result.scores.columns) == ["delay", "in time"]
    assert list(result.table().columns) == ["delay (s)", "in time (%)", "source"]
    figure = own_benchmark.delay_figure(result.scores)
    assert figure.data[0].y[-1] == 100
    assert find_benchmark("own_benchmark:FIRST_RESPONSE") is own_benchmark.FIRST_RESPONSE


def test_a_question_without_a_response_has_no_delay(folder):
    import own_benchmark

    from mmduet.evaluation import Prediction
    from mmduet.trace import DuetTrace, Response

    items = {"1": own_benchmark.Event(**EVENTS[0]), "2": own_benchmark.Event(**EVENTS[1])}
    answers = {"1": [Response(0.0, "early"), Response(4.5, "late")], "2": []}
    predictions = {name: Prediction(name, 9.0, DuetTrace.from_events(said)) for name, said in answers.items()}
    scores = own_benchmark.score(predictions, items)
    assert scores.loc["1"].to_list() == [4.0, 0.0]
    assert pd.isna(scores.loc["2", "delay"])
    assert scores.loc["2", "in time"] == 0
