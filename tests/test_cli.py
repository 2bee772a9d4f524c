"""The command line: help worth reading, and one sentence for a mistake."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.doctor import DECORD_STALE_TAG

runner = CliRunner()


@pytest.mark.parametrize("command", ["", "report", "scenes", "evaluate scenes", "convert", "doctor"])
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
