"""A run that is interrupted anywhere resumes as if it had not been interrupted."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.errors import CheckpointError, DuetError, FileError
from mmduet.files import publish_folder
from mmduet.training import checkpointing, train
from mmduet.training.checkpointing import (
    Run,
    checkpoints,
    find_start,
    finite_rows,
    keep_newest,
    read_log,
    read_run,
    state_run,
    step_of,
)
from mmduet.training.config import read_config, run_config
from tests.training.conftest import SHORT, Terminate, losses, rewind


def write_checkpoint(output, step, content="weights"):
    aside = output / checkpointing.TEMPORARY / f"checkpoint-{step}"
    aside.mkdir(parents=True)
    (aside / "model").write_text(content)
    publish_folder(aside, output / aside.name)
    return output / aside.name


def test_only_complete_checkpoints_count(tmp_path):
    first, second, third = (write_checkpoint(tmp_path, step) for step in (2, 10, 9))
    assert [step_of(path) for path in checkpoints(tmp_path)] == [2, 9, 10]
    (second / "model").write_text("wei")  # truncated
    (third / checkpointing.MANIFEST).unlink()
    (tmp_path / checkpointing.TEMPORARY / "checkpoint-11").mkdir(parents=True)
    assert checkpoints(tmp_path) == [first]
    assert write_checkpoint(tmp_path, 10, "new") in checkpoints(tmp_path), "a truncated one is replaced"


def test_the_newest_stay(tmp_path):
    for step in (1, 2, 3):
        write_checkpoint(tmp_path, step)
    keep_newest(tmp_path, 2)
    assert [step_of(path) for path in checkpoints(tmp_path)] == [2, 3]


@pytest.mark.parametrize("name", ["checkpoint-500/model.bin", "adapter/adapter_config.json", "run.json", ""])
def test_a_folder_of_others_is_refused_at_the_start(tmp_path, name):
    """Other tools call their checkpoints checkpoint-STEPS, too."""
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[]")
    with pytest.raises(FileError, match=r"no training run wrote|no folder|another kind"):
        find_start(tmp_path / "run", {}, resume=True)
    assert path.read_text() == "[]"


def test_a_run_resumes_with_the_settings_it_was_started_with(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpointing, "newest_sound", lambda found: found[-1] if found else None)
    state_run(tmp_path, Run(identity={"seed": 1}, alignment=[]))
    (tmp_path / "notes.txt").write_text("mine")
    assert find_start(tmp_path, {"seed": 1}, resume=True) is None
    path = write_checkpoint(tmp_path, 2)
    assert find_start(tmp_path, {"seed": 1}, resume=True) == path
    (tmp_path / "run.json").write_text("[1]")
    with pytest.raises(FileError, match="another kind"):
        find_start(tmp_path, {"seed": 1}, resume=True)


@pytest.mark.parametrize(
    ("at_once", "processes", "same"), [(8, 4, True), (6, 3, True), (8, 2, True), (12, 3, False), (2, 2, False)]
)
def test_more_or_fewer_processes_may_resume(tmp_path, monkeypatch, at_once, processes, same):
    """Four processes with two conversations each began; the same eight, or two in each process, go on."""
    monkeypatch.setattr(checkpointing, "newest_sound", lambda found: found[-1] if found else None)
    state_run(tmp_path, Run(identity={"batch_size": 8}, processes=4, alignment=[]))
    path = write_checkpoint(tmp_path, 2)
    with nullcontext() if same else pytest.raises(DuetError, match=f"batch_size was 8, is {at_once}"):
        assert find_start(tmp_path, {"batch_size": at_once}, resume=True, processes=processes) == path


def test_a_folder_of_another_name_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint of a training run"):
        step_of(tmp_path / "adapter")


def test_resumed_between_two_logged_figures(short):
    """Batches, prompt templates, dropout, optimiser, rates and the sums since figures were last logged."""
    settings = {"steps": 8, "log_every": 3, "save_every": 4, "keep_checkpoints": 9}
    whole = short("whole", **settings)
    halted = short("halted", **settings)
    rewind(halted.adapter.parent, 4)
    resumed = short("halted", resume=True, **settings)
    assert losses(resumed) == losses(whole)
    for name in ("lm_loss", "video_loss", "eval_informative_auc"):
        assert [row[name] for row in resumed.history if name in row] == [
            row[name] for row in whole.history if name in row
        ]
    assert resumed.alignment == whole.alignment
    files = [(result.adapter / "adapter_model.safetensors").read_bytes() for result in (whole, resumed)]
    assert files[0] == files[1]
    assert not {"train_loss", "train_steps_per_second"} & set().union(*resumed.history), "of this process's steps only"


def test_killed_while_a_checkpoint_is_written(short, monkeypatch):
    """What is there is the one before, and the run resumes from it."""
    settings = {"save_every": 2}

    def truncated(aside, final):
        if step_of(final) == 4:
            (aside / "optimizer.pt").write_bytes(b"half")
            raise KeyboardInterrupt
        publish_folder(aside, final)

    whole = short("whole", **settings)
    with monkeypatch.context() as patch:
        patch.setattr("mmduet.training.trainer.publish_folder", truncated)
        with pytest.raises(KeyboardInterrupt):
            short("truncated", **settings)
    output = whole.adapter.parents[1] / "truncated"
    assert [path.name for path in checkpoints(output)] == ["checkpoint-2"]
    assert losses(short("truncated", resume=True, **settings)) == losses(whole)


def test_a_finished_run_is_not_run_again(short, capsys):
    first = short(save_every=3)
    assert "conversations, 2 at once, in 1 process\n" in capsys.readouterr().err
    again = short(save_every=3, resume=True)
    assert again.history == [row for row in first.history if "train_runtime" not in row]
    assert again.steps == 6
    assert re.search(r"out: finished already on \d{4}-\d\d-\d\d .*nothing to do", capsys.readouterr().err)


def written(output):
    """Name and content of each file of a run."""
    return {path: path.read_bytes() for path in output.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.parametrize("best_by", [None, "loss"])
def test_a_finished_run_without_checkpoints_keeps_its_adapter(short, setting, capsys, best_by):
    """As one with a checkpoint at its last step: the same run is not run again, no other takes its place."""
    first = short(best_by=best_by)
    output = first.adapter.parent
    before = written(output)
    again = short(best_by=best_by, resume=True)
    assert (again.history, again.steps, again.best) == (finite_rows(first.history), 6, first.best)
    assert re.search(r"out: finished already on \d{4}-\d\d-\d\d .*nothing to do", capsys.readouterr().err)
    for other in ({"steps": 1}, {"seed": 5}, {"best_by": "lm_loss"}):
        with pytest.raises(DuetError, match=r"was started with other settings .*give another output, or delete out"):
            short(resume=True, **{"best_by": best_by} | other)
    with pytest.raises(DuetError, match=r"holds the adapter of an earlier run: resume it with resume=True"):
        short(best_by=best_by)
    assert written(output) == before
    model, processor, train_set, val_set, features = setting
    given = SHORT | {"best_by": best_by, "output": output, "base": "tiny", "resume": True}
    train(model, processor, train_set, val_set, features, **given)
    saved = load_file(output / "adapter" / "adapter_model.safetensors")
    head = model.informative_head.modules_to_save.default.weight
    assert torch.equal(head, saved["base_model.model.informative_head.weight"]), "the model has the adapter's weights"


@pytest.mark.parametrize("damaged", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_damaged_adapter_is_trained_again(short, damaged):
    first = short()
    content = (first.adapter / damaged).read_bytes()
    (first.adapter / damaged).write_bytes(content[: len(content) // 2])
    assert losses(short(resume=True)) == losses(first)
    assert (first.adapter / damaged).read_bytes() == content


def test_a_run_that_ended_in_an_earlier_version_has_ended(short):
    output = short().adapter.parent
    state_run(output, read_run(output).model_copy(update={"steps": None}))
    before = written(output)
    assert short(resume=True).steps == 6
    assert written(output) == before


@pytest.mark.parametrize("done", [3, 6])
def test_other_data_are_not_trained_on(short, mixtures, done):
    """Neither a finished nor an interrupted run hands out the adapter of other data."""
    settings = {"save_every": 3, "best_by": "loss"}
    output = short(**settings).adapter.parent
    rewind(output, done)
    before = (output / "adapter/adapter_model.safetensors").read_bytes()
    for name, data in zip(("training", "validation"), mixtures, strict=True):
        changed = copy.copy(data)
        changed.samples = [replace(sample, max_frames=4) for sample in data.samples]
        given = {"train_set" if name == "training" else "val_set": changed}
        with pytest.raises(DuetError, match=rf"started with other {name} data; .*give another output, or delete out"):
            short(resume=True, **settings, **given)
    assert (output / "adapter/adapter_model.safetensors").read_bytes() == before
    assert short(resume=True, **settings).steps == 6


def test_a_run_of_an_earlier_version_is_resumed(short, mixtures):
    """It kept neither digests nor best_by; once resumed it does."""
    settings = {"save_every": 3, "best_by": "loss"}
    output = short(**settings).adapter.parent
    run = read_run(output)
    rewind(output, 3)
    earlier = {name: value for name, value in run.identity.items() if name not in checkpointing.LATER}
    state_run(output, read_run(output).model_copy(update={"identity": earlier, "steps": None}))
    assert short(resume=True, **settings).steps == 6
    assert read_run(output).identity == run.identity


def test_what_chose_the_best_adapter_stays(short):
    """Its value is of the figure's own kind: another figure must not be compared with it."""
    settings = {"save_every": 3, "eval_every": 6}
    short(best_by="loss", callbacks=[Terminate()], **settings)
    resumed = short(resume=True, best_by="informative_auc", **settings)  # no evaluation yet, so no best either
    assert resumed.best[0] == "informative_auc"
    assert 0 <= resumed.best[1] <= 1
    rewind(resumed.adapter.parent, 4)
    assert short(resume=True, best_by="informative_auc", **settings).best == resumed.best
    for other in ("loss", None):
        with pytest.raises(DuetError, match=r"best_by was 'informative_auc', is "):
            short(resume=True, best_by=other, **settings)


def test_the_log_of_a_run_is_read_to_its_end_or_its_newest_checkpoint(short, tmp_path):
    done = short(save_every=3)
    output = done.adapter.parent
    assert read_log(output) == finite_rows(done.history)
    running = read_run(output).model_copy(update={"history": []})
    state_run(output, running)
    shutil.rmtree(output / "checkpoint-6")
    assert read_log(output) == finite_rows(row for row in done.history if row["step"] <= 3)
    shutil.rmtree(output / "checkpoint-3")
    with pytest.raises(CheckpointError, match="neither ended nor saved"):
        read_log(output)
    with pytest.raises(CheckpointError):
        read_log(tmp_path / "nothing")


def _replaced(model, processor):
    model.language_model.model.layers[1].mlp.down_proj.weight.data[5, 7] += 0.5


def _smaller(model, processor):
    processor.frame = replace(processor.frame, mean=0.25)


BASES = [
    (_replaced, r"started with other base weights; since then the base's weights.* have changed"),
    (_smaller, r"model / frame / mean was .*, is 0\.25"),
    (lambda model, processor: model.bfloat16(), r"model / dtype was 'float32', is 'bfloat16'"),
]


@pytest.mark.parametrize(("change", "message"), BASES)
def test_another_base_of_the_same_name_is_not_resumed(short, setting, change, message):
    output = short(save_every=3, bf16=True).adapter.parent
    rewind(output, 3)
    model, processor, train_set, val_set, _ = setting
    change(model, processor)
    given = SHORT | {"save_every": 3, "bf16": True, "output": output, "base": "tiny", "resume": True}
    with pytest.raises(DuetError, match=message):
        train(model, processor, train_set, val_set, None, **given)


def test_another_run_is_not_resumed(short):
    short(save_every=3)
    with pytest.raises(DuetError, match=r"was started with other settings \(learning_rate was 0\.001, is 0\.5\)"):
        short(save_every=3, resume=True, learning_rate=0.5)
    with pytest.raises(DuetError, match=r"holds checkpoint-6 of an earlier run"):
        short(save_every=3)


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def logged(output):
    """The loss of each step, as the newest checkpoint holds them."""
    state = json.loads((checkpoints(output)[-1] / "trainer_state.json").read_text())
    return [row["loss"] for row in state["log_history"] if "loss" in row]


@pytest.mark.parametrize("workers", [0, 2])
def test_sigkill_at_any_moment(write_config, tmp_path, workers):
    settings = {"steps": 20, "save_every": 3, "workers": workers}
    whole = run_config(read_config(write_config("whole", **settings)))
    config, output = write_config("killed", **settings), tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-m", "mmduet", "train", config], env=environment())
    try:
        deadline = time.monotonic() + 120
        while not checkpoints(output) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    done = step_of(checkpoints(output)[-1])
    assert 0 < done < 20, "else nothing was interrupted"
    resumed = run_config(read_config(config))
    assert losses(resumed) == pytest.approx(losses(whole), abs=1e-5)
    assert {path.name for path in output.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}


def test_the_command_stops_when_asked_and_resumes(write_config, monkeypatch):
    config = str(write_config("run"))
    with monkeypatch.context() as patch:
        patch.setattr("mmduet.training.config.train", partial(train, callbacks=[Terminate()]))
        stopped = CliRunner().invoke(app, ["train", config])
    assert stopped.exit_code == 143, stopped.output
    assert "4 of 6 steps" in stopped.output
    assert "stopped after step 4, as requested: checkpoint-4 is kept in" in stopped.output
    done = CliRunner().invoke(app, ["train", config])
    assert done.exit_code == 0, done.output
    assert "6 of 6 steps" in done.output


def test_two_processes_do_what_one_does_and_one_goes_on(write_config, tmp_path):
    """Half of each batch in each process, over gloo."""
    same = {"lora": {"r": 4, "alpha": 8, "dropout": 0.0}, "save_every": 3}
    alone = run_config(read_config(write_config("alone", batch_size=2, **same)))
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *launch, "-m", "mmduet", "train", write_config("shared", batch_size=1, **same)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("6 of 6 steps") == 1, "one process speaks for both"
    assert "2 at once, in 2 processes" in done.stderr
    assert logged(tmp_path / "shared") == pytest.approx(losses(alone), abs=1e-5)

    # what two processes began, one ends: after a node was lost
    before = read_log(tmp_path / "shared")
    shutil.rmtree(tmp_path / "shared" / "checkpoint-6")
    shutil.rmtree(tmp_path / "shared" / "adapter")
    resumed = run_config(read_config(write_config("shared", batch_size=1, **same)))
    assert [row["step"] for row in resumed.history] == [row["step"] for row in before]
    assert resumed.history[: len(before) // 2] == before[: len(before) // 2], "up to checkpoint-3 as it was"
    assert resumed.adapter.is_dir()
