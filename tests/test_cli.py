"""The command line: help worth reading, and one sentence for a mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.doctor import DECORD_STALE_TAG

runner = CliRunner()


COMMANDS = ["", "report", "scenes", "predict", "train", "scan", "convert", "doctor", "evaluate"]
BENCHMARKS = ["scenes", "charades_sta", "qvhighlights", "youcook2", "magqa"]


@pytest.mark.parametrize("command", [*COMMANDS, *(f"evaluate {name}" for name in BENCHMARKS)])
def test_help(command):
    result = runner.invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_a_mistake_is_one_sentence(tmp_path):
    command = [sys.executable, "-m", "mmduet", "convert", "nano", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("mmduet: 'nano' is no preset")
    assert "Traceback" not in done.stderr


def test_convert_writes_what_load_duet_reads(tmp_path, monkeypatch):
    from mmduet.checkpoints import load_duet

    monkeypatch.setenv("MMDUET_CACHE", str(tmp_path / "cache"))
    result = runner.invoke(app, ["convert", "tiny", str(tmp_path / "out"), "--dtype", "float32"])
    assert result.exit_code == 0, result.output
    model, _ = load_duet(tmp_path / "out")
    assert model.num_parameters() == load_duet("tiny")[0].num_parameters()


@pytest.mark.parametrize("suite", sorted((Path(__file__).parents[1] / "reports" / "suites").glob("*.yaml")))
def test_every_suite_fits_its_notebooks(suite):
    result = runner.invoke(app, ["report", str(suite), "--check"])
    assert result.exit_code == 0, result.output
    assert "all parameters known" in result.output


def write_charades(folder):
    """Two questions, answered; a third, not."""
    predictions = [
        {"question_id": name, "video_duration": 4, "model_response_list": [],
         "debug_data": [{"time": i, "informative_score": 0, "relevance_score": score} for i, score in enumerate(row)]}
        for name, row in (("a", [0, 1, 1, 0]), ("b", [1, 0, 0, 0]))
    ]  # fmt: skip
    (folder / "p.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in predictions))
    references = [
        {"question_id": name, "video": f"{name}.mp4", "conversation": [], "timestamps": [[1, 2]]} for name in "abc"
    ]
    (folder / "gold.json").write_text(json.dumps(references))
    return ["--predictions", str(folder / "p.jsonl"), "--references", str(folder / "gold.json")]


def test_evaluate_says_what_is_missing_and_writes_the_figures(tmp_path):
    command = ["evaluate", "charades_sta", *write_charades(tmp_path), "--window", "0", "--sweep"]
    result = runner.invoke(app, [*command, "--output", str(tmp_path / "figures.json")])
    assert result.exit_code == 0, result.output
    assert "1 without prediction: c" in result.output
    assert "best by R@0.5 on half of the videos" in result.output
    assert json.loads((tmp_path / "figures.json").read_text())["mIoU"]["value"] == 50


def test_scenes_makes_clips(tmp_path):
    result = runner.invoke(app, ["scenes", "--root", str(tmp_path), "--train", "1", "--val", "0", "--test", "0"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "scenes/videos/train/train_00000.mp4").is_file()


def test_importing_the_package_loads_no_torch():
    code = "import sys, mmduet; assert 'torch' not in sys.modules; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_decords_stale_tag_is_found_and_mended():
    wheel = "Wheel-Version: 1.0\nTag: cp36-cp36m-manylinux2010_x86_64\n"
    assert DECORD_STALE_TAG.sub("Tag: py3-none-", wheel).endswith("Tag: py3-none-manylinux2010_x86_64\n")
