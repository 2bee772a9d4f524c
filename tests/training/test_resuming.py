"""Sound checkpoints, and one run at a time."""

import os
import signal
from functools import partial

import pytest
import torch
from transformers import TrainerCallback
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.errors import CheckpointError, DuetError
from mmduet.training import train
from mmduet.training.checkpointing import checkpoints, kept, read_run
from mmduet.training.resuming import check, newest_sound
from tests.training.conftest import losses, rewind


@pytest.fixture(scope="module")
def finished(tmp_path_factory, scenes):
    """The output of a short run with two checkpoints."""
    from mmduet.checkpoints import build_tiny
    from mmduet.data.mixture import MixtureDataset
    from tests.training.conftest import SHORT

    output = tmp_path_factory.mktemp("run")
    train_set = MixtureDataset(scenes / "annotations/train_mixture.json")
    short = SHORT | {"steps": 2, "save_every": 1, "align_iterations": 2}
    train(*build_tiny(), train_set, None, None, output=output, base="tiny", **short)
    return output


DAMAGE = [
    ("window.json", lambda text: text.replace(b"logged", b"longed"), "logged"),
    ("window.json", lambda text: b"\xff" + text[1:], "UTF-8"),
    ("trainer_state.json", lambda text: text.replace(b'"global_step": 2', b'"global_step": 9'), "of step 9"),
    ("trainer_state.json", lambda text: text.replace(b'"global_step": 2', b'"global_stop": 2'), "global_step"),
    ("trainer_state.json", lambda text: text.replace(b"max_steps", b"mix_steps"), "unknown field 'mix_steps'"),
    ("optimizer.pt", lambda content: b"PK" + bytes(len(content) - 2), "optimizer.pt cannot be loaded"),
    ("adapter_model.safetensors", lambda content: b"\xff" * len(content), "cannot be loaded"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGE)
def test_a_damaged_checkpoint_is_not_used(finished, name, damage, message, capsys):
    """Of the right size, so that the manifest does not give it away."""
    first, second = checkpoints(finished)
    assert newest_sound([first, second]) == second
    path = second / name
    before = path.read_bytes()
    try:
        path.write_bytes(damage(before))
        assert path.stat().st_size == len(before), "else this shows nothing"
        with pytest.raises(DuetError, match=message):
            check(second)
        assert newest_sound([first, second]) == first
        assert "checkpoint-2 is damaged, so the previous one is used" in capsys.readouterr().err
    finally:
        path.write_bytes(before)


def test_a_checkpoint_never_runs_code(finished, tmp_path):
    class Hostile:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "canary"),))

    checkpoint = checkpoints(finished)[-1]
    before = (checkpoint / "scheduler.pt").read_bytes()
    try:
        torch.save(Hostile(), checkpoint / "scheduler.pt")
        with pytest.raises(CheckpointError, match=r"scheduler\.pt cannot be loaded"):
            check(checkpoint)
    finally:
        (checkpoint / "scheduler.pt").write_bytes(before)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"identity": [], "alignment": []}', '{"identity": {}, "alignment": [NaN]}']
)
def test_a_damaged_run_file_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"run\.json.*another output"):
        read_run(tmp_path)


class Interrupt(TrainerCallback):
    """Ctrl-C in the middle of a step, so many times."""

    def __init__(self, times=1):
        self.times = times

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 3:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


def test_an_interrupt_ends_the_step_and_the_same_run_resumes(short, capsys):
    whole = short("whole")
    with pytest.raises(KeyboardInterrupt):
        short("halted", callbacks=[Interrupt()])
    output = whole.adapter.parents[1] / "halted"
    assert kept(output) == f"checkpoint-4 is kept in {output}, and the same command resumes from it"
    assert "interrupt again to stop at once" in capsys.readouterr().err
    assert losses(short("halted", resume=True)) == losses(whole)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("times", "message"), [(1, "checkpoint-4 is kept in "), (2, "no checkpoint is in ")])
def test_the_command_says_what_an_interrupt_kept(write_config, monkeypatch, times, message):
    monkeypatch.setattr("mmduet.training.config.train", partial(train, callbacks=[Interrupt(times)]))
    done = CliRunner().invoke(app, ["train", str(write_config("run"))])
    assert done.exit_code == 130, done.output
    assert f"mmduet: stopped; {message}" in done.output
    assert "the same command" in done.output


def test_sigterm_before_the_first_step_is_told(write_config, monkeypatch):
    def asked(*args, **kwargs):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("mmduet.training.config.train", asked)
    done = CliRunner().invoke(app, ["train", str(write_config("run"))])
    assert done.exit_code == 143, done.output
    assert "the same command begins again" in done.output


def test_how_often_to_log_may_change(short):
    """It is the recipe's, not the checkpoint's that a run resumes from."""
    settings = {"steps": 24, "align_iterations": 2, "save_every": 12, "val_set": None}
    output = short(log_every=1, **settings).adapter.parent
    rewind(output, 12)
    resumed = short(log_every=2, resume=True, **settings)
    assert [row["step"] for row in resumed.history if "loss" in row] == [*range(1, 13), *range(14, 25, 2)]
