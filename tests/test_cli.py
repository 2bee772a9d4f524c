"""The command line: help worth reading, and one sentence for a mistake."""

import json
import os
import re
import signal
import subprocess
import sys
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.doctor import DECORD_STALE_TAG
from mmduet.errors import FileError
from mmduet.evaluation.benchmarks import BENCHMARKS as BUILT_IN
from mmduet.evaluation.predict import Outcome

runner = CliRunner()
ASKED = '[{"question_id": 1, "video": "a.mp4", "conversation": [{"role": "user", "content": "What?", "time": 0}]}]'


COMMANDS = [
    "", "report", "scenes", "predict", "baseline", "calibrate", "timing", "watch", "train", "scan", "convert", "doctor",
    "evaluate",
]  # fmt: skip
BENCHMARKS = ["scenes", *BUILT_IN]


@pytest.mark.parametrize("command", [*COMMANDS, *(f"evaluate {name}" for name in BENCHMARKS)])
def test_help(command):
    result = runner.invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def commands_below(command, name=""):
    """Name -> command: all there are, those of groups, too."""
    found = {name: command}
    for below in command.list_commands(None) if hasattr(command, "list_commands") else ():
        found |= commands_below(command.get_command(None, below), f"{name} {below}".strip())
    return found


EVERY = commands_below(typer.main.get_command(app))


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("name", EVERY)
def test_a_help_has_the_whole_text_and_every_option_also_on_80_columns(name, columns):
    result = runner.invoke(app, [*name.split(), "--help"], env={"COLUMNS": str(columns)})
    assert max(map(len, result.output.splitlines())) <= columns
    command = EVERY[name]
    names = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {name for name in names if name.startswith("-")} <= set(result.output.split())
    texts = [command.help or "", *(getattr(parameter, "help", None) or "" for parameter in command.params)]
    shown = "".join(result.output.split())  # a long line may be broken after a hyphen
    for text in texts:
        assert "".join(text.split()) in shown, "all of it, with its [brackets]"


@pytest.mark.parametrize("name", EVERY)
def test_the_paragraphs_of_a_help_fill_their_lines(name):
    result = runner.invoke(app, [*name.split(), "--help"], env={"COLUMNS": "80"})
    text = re.split(r"\n\n(?=\w+:\n)", result.output)[0].partition("\n\n")[2]
    for paragraph in text.split("\n\n"):
        lines = paragraph.splitlines()
        for line, after in pairwise(lines):
            word = re.split(r"(?<=[a-z]-)| ", after.strip())[0]
            assert len(line) + 1 + len(word) > 78, f"{line!r} has room for {word!r}"


@pytest.mark.parametrize("name", [name for name, command in EVERY.items() if hasattr(command, "list_commands")])
def test_a_group_has_the_first_sentence_of_each_command(name):
    output = runner.invoke(app, [*name.split(), "--help"], env={"COLUMNS": "80"}).output
    assert "..." not in output.partition("Commands:")[2]
    for below in EVERY[name].list_commands(None):
        assert below in output.split()


def test_it_says_its_version():
    result = runner.invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"mmduet {metadata.version('mmduet-workbench')}\n")
    assert runner.invoke(app, []).output.strip().startswith("Usage"), "without a command it prints help"


@pytest.mark.parametrize(
    ("given", "policy", "spins"),
    [
        ({}, "PASSIVE", "1000"),
        ({"GOMP_SPINCOUNT": "7"}, "PASSIVE", "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE", None),
    ],
)
def test_torchs_threads_soon_sleep_while_they_wait_unless_the_user_says_otherwise(given, policy, spins):
    """The runtime says what it read when it was loaded; processes that a command starts inherit it."""
    code = "import mmduet, mmduet.video, os; print(*map(os.environ.get, ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')))"
    others = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    environment = others | given | {"OMP_DISPLAY_ENV": "true"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{policy} {spins}\n"
    assert f"OMP_WAIT_POLICY = '{policy}'" in done.stderr


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
        {
            "question_id": name,
            "video": f"{name}.mp4",
            "conversation": [{"role": "user", "content": "What?", "time": 0}],
            "timestamps": [[1, 2]],
        }
        for name in "abc"
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


@pytest.mark.parametrize("name", ["gold.json", "p.jsonl", "hard.json", "link.json", "notes.txt", "folder", "p.jsonl/x"])
def test_evaluate_writes_over_figures_alone(tmp_path, name):
    """Refused before anything is computed; a missing folder is made."""
    command = ["evaluate", "charades_sta", *write_charades(tmp_path), "--window", "0", "--output"]
    (tmp_path / "hard.json").hardlink_to(tmp_path / "gold.json")
    (tmp_path / "link.json").symlink_to("gold.json")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "folder").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    result = runner.invoke(app, [*command, str(tmp_path / name)])
    assert isinstance(result.exception, FileError), result.output
    assert "mIoU" not in result.output
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    for _ in range(2):
        assert runner.invoke(app, [*command, str(tmp_path / "made" / "here" / "figures.json")]).exit_code == 0


@pytest.fixture
def unloaded(monkeypatch):
    """No model can be loaded: what is refused is refused before."""
    monkeypatch.setattr("mmduet.checkpoints.load_duet", lambda *_, **__: pytest.fail("a model is loaded"))


@pytest.mark.parametrize(
    "name", ["gold.json", "hard.json", "link.json", "other.jsonl", "videos", "videos/a.mp4", "a/b"]
)
def test_predict_writes_over_its_own_file_alone(tmp_path, unloaded, name):
    (tmp_path / "gold.json").write_text(ASKED)
    (tmp_path / "hard.json").hardlink_to(tmp_path / "gold.json")
    (tmp_path / "link.json").symlink_to("gold.json")
    (tmp_path / "other.jsonl").write_text('{"question_id": 1, "model_response_list": []}\n')
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_text("a clip")
    (tmp_path / "a").write_text("a file")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    command = ["predict", "charades_sta", "--model", "tiny", "--references", str(tmp_path / "gold.json")]
    command += ["--videos", str(tmp_path / "videos"), "--output", str(tmp_path / name)]
    assert isinstance(runner.invoke(app, command).exception, FileError)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["models", ".", "..", "models/notes.txt", "models/notes.txt/new"])
def test_convert_writes_its_own_folder_alone(tmp_path, unloaded, monkeypatch, name):
    (tmp_path / "here" / "models").mkdir(parents=True)
    (tmp_path / "here" / "models" / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(FileError):
        runner.invoke(app, ["convert", "tiny", name], catch_exceptions=False)
    assert [path.name for path in tmp_path.rglob("*")] == ["here", "models", "notes.txt"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("command", ["scan", "scenes"])
def test_a_command_that_is_stopped_says_what_is_kept(tmp_path, monkeypatch, command, number, status):
    def stop(*_, **__):
        os.kill(os.getpid(), number)
        signal.pause()

    monkeypatch.setattr("mmduet.data.metadata.scan_videos", stop)
    monkeypatch.setattr("mmduet.data.scenes.make_scenes", stop)
    before = signal.getsignal(signal.SIGTERM)
    given = {"scan": [str(tmp_path)], "scenes": ["--root", str(tmp_path)]}[command]
    result = runner.invoke(app, [command, *given])
    assert result.exit_code == status
    assert re.search("mmduet: stopped; .* and the same command (reads the rest|makes the other)", result.output)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize(
    ("more", "kept"),
    [
        (["--cache", "judged.jsonl"], "the judge's answers so far are in judged.jsonl, and the same command asks for"),
        ([], "no answer was kept: with --cache FILE the same command can be resumed"),
    ],
)
def test_a_judge_that_is_stopped_says_what_is_kept(tmp_path, monkeypatch, more, kept, number, status):
    turn = {"role": "user", "content": "What?", "time": 0}
    said = [turn, {"role": "assistant", "content": "A cat.", "time": 3.0}]
    frames = [{"time": 3.0, "informative_score": 0.5, "relevance_score": 0.5}]
    watched = {"question_id": 1, "video_duration": 9.0, "model_response_list": said, "debug_data": frames}
    answer = [{"role": "assistant", "content": "a cat", "time": [2, 6]}]
    (tmp_path / "p.jsonl").write_text(json.dumps(watched))
    gold = [{"question_id": 1, "video": "v.mp4", "conversation": [turn], "answer": answer}]
    (tmp_path / "gold.json").write_text(json.dumps(gold))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "mmduet.evaluation.judges.rate", lambda *_, **__: os.kill(os.getpid(), number) or signal.pause()
    )
    command = ["evaluate", "magqa", "--predictions", "p.jsonl", "--references", "gold.json", "--judge", "j"]
    result = runner.invoke(app, [*command, "--url", "http://localhost:1/v1", "--yes", *more])
    assert result.exit_code == status, result.output
    assert f"mmduet: stopped; {kept}" in result.output


def test_every_command_that_is_stopped_says_so(monkeypatch):
    monkeypatch.setattr("mmduet.doctor.examine", lambda **_: os.kill(os.getpid(), signal.SIGINT) or signal.pause())
    result = runner.invoke(app, ["doctor"])
    assert result.exit_code == 130
    assert result.output == "mmduet: stopped; it was not done: run the same command again.\n"


def test_responses_can_be_kept_or_removed(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("mmduet.checkpoints.load_duet", lambda *_, **__: (SimpleNamespace(dtype="torch.float32"), None))
    monkeypatch.setattr(
        "mmduet.evaluation.predict.predict",
        lambda *_, settings, **__: seen.append(settings) or Outcome(tmp_path, 0, 0, {}),
    )
    (tmp_path / "gold.json").write_text(ASKED)
    command = ["predict", "youcook2", "--references", str(tmp_path / "gold.json"), "--videos", str(tmp_path)]
    command += ["--output", str(tmp_path / "p.jsonl")]
    for more in ([], ["--keep-responses", "--max-new-tokens", "5", "--repetition-penalty", "1.2"]):
        assert runner.invoke(app, [*command, *more]).exit_code == 0
    published, kept = seen
    assert (published.remove_assistant_turns, published.max_new_tokens, published.repetition_penalty) == (
        True,
        200,
        None,
    )
    assert (kept.remove_assistant_turns, kept.max_new_tokens, kept.repetition_penalty) == (False, 5, 1.2)


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
