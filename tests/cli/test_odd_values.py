"""Any value of any option: a command does its work, or one sentence says what is wrong with it."""

import json
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.main import get_command

from mmduet.cli import app, main

ODD = ["", ".", "/", "..", "-1", "0", "nan", "1e309", "9" * 20, "\N{CINEMA}", "n" * 300, "here", "a.json", "/dev/null"]
QUESTION = {"question_id": 1, "video": "a.mp4", "conversation": [{"role": "user", "content": "What?", "time": 0}]}
COMMANDS = {
    "evaluate charades_sta": "--predictions p.jsonl --references charades_sta.json",
    "evaluate qvhighlights": "--predictions p.jsonl --references qvhighlights.jsonl",
    "evaluate magqa": "--predictions p.jsonl --references magqa.json --judge nowhere --yes",
    "evaluate proactivevideoqa": "--predictions p.jsonl --references magqa.json --judge nowhere --yes",
    "export charades_sta": "p.jsonl --output out.jsonl",
    "export qvhighlights": "p.jsonl --output out.jsonl --references qvhighlights.jsonl",
    "calibrate": "p.jsonl --references charades_sta.json --target f1 --benchmark charades_sta",
    "timing": "p.jsonl=charades_sta.json",
    "predict": "charades_sta --references charades_sta.json --videos here --output out.jsonl --model nowhere",
    "baseline": "charades_sta --references charades_sta.json --videos here --output out.jsonl --model nowhere",
    "convert": "nowhere out",
    "scan": "here --workers 1",
    "watch": "a.json --model nowhere",
    "report": "a.json --check",
    "train": "a.json",
}


@pytest.fixture(scope="module")
def given_files(tmp_path_factory):
    """A prediction of one question, its test files, a folder and a file of another kind."""
    folder = tmp_path_factory.mktemp("given")
    frames = [{"time": float(t), "informative_score": 0.5, "relevance_score": t / 60} for t in range(60)]
    said = [*QUESTION["conversation"], {"role": "assistant", "content": "Yes.", "time": 12.0}]
    answer = {"question_id": 1, "video_duration": 60.0, "model_response_list": said, "debug_data": frames}
    highlights = {
        "qid": 1, "query": "q", "duration": 60, "vid": "v", "relevant_clip_ids": [5, 6],
        "saliency_scores": [[4, 3, 2], [1, 0, 4]], "relevant_windows": [[10, 20]],
    }  # fmt: skip
    replies = [{"role": "assistant", "content": "Yes.", "time": [10, 20]}]
    for name, content in {
        "p.jsonl": answer,
        "charades_sta.json": [QUESTION | {"timestamps": [[10, 20]]}],
        "qvhighlights.jsonl": highlights,
        "magqa.json": [QUESTION | {"answer": replies}],
        "a.json": [1, 2],
    }.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "here").mkdir()
    return folder


@cache
def options_of(name):
    """The options of a command that take a value."""
    command = get_command(app)
    for word in name.split():
        command = command.get_command(click.Context(command), word)
    options = [each.opts[-1] for each in command.params if each.param_type_name == "option" and not each.is_flag]
    return [option for option in options if option != "--help"]


def with_value(name, where, value):
    """A command's words, with a value for an option, or (a number) for one of its arguments."""
    words = [*name.split(), *COMMANDS[name].split()]
    if isinstance(where, int):
        words[len(name.split()) + where] = value
    elif where in words:
        words[words.index(where) + 1] = value
    else:
        words += [where, value]
    return words


def cases(name):
    words = COMMANDS[name].split()
    arguments = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    places = st.sampled_from([*options_of(name), *range(arguments)])
    return st.tuples(st.just(name), places, st.sampled_from(ODD))


@settings(max_examples=60)
@given(st.sampled_from(sorted(COMMANDS)).flatmap(cases))
def test_one_sentence_or_its_work(given_files, case):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        shutil.copytree(given_files, folder, dirs_exist_ok=True)
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["mmduet", *with_value(*case)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (0, 1, 2)
        for path in given_files.glob("*.json*"):
            assert Path(path.name).read_bytes() == path.read_bytes(), "what it reads stays as it was"
