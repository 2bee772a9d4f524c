"""A small `scenes` and the `tiny` model."""

import os
import shutil
import signal

import pytest
import yaml
from transformers import TrainerCallback

from mmduet.checkpoints import build_tiny
from mmduet.data.feature_cache import FeatureCache
from mmduet.data.mixture import MixtureDataset
from mmduet.data.scenes import make_scenes
from mmduet.training import train
from mmduet.training.checkpointing import checkpoints, read_run, state_run, step_of

SHORT = {
    "steps": 6, "align_iterations": 5, "lora": {"r": 4, "alpha": 8, "dropout": 0.1}, "learning_rate": 1e-3,
    "projector_learning_rate": 1e-3, "head_learning_rate": 1e-3, "batch_size": 2, "eval_every": 3, "log_every": 1,
}  # fmt: skip


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("data"), train=3, val=1, test=0)


@pytest.fixture(scope="session")
def feature_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture
def mixtures(scenes):
    """Training and validation set."""
    return [MixtureDataset(scenes / "annotations" / f"{split}_mixture.json") for split in ("train", "val")]


@pytest.fixture
def setting(mixtures, feature_folder):
    """model, processor, training set, validation set, features."""
    model, processor = build_tiny()
    return model, processor, *mixtures, FeatureCache(feature_folder, model, processor)


@pytest.fixture
def short(setting, tmp_path):
    """Train a fresh tiny model for a few steps; keyword arguments of `train` change what is not to be as usual."""

    def run(name="out", **changed):
        model, processor = build_tiny()
        given = {"output": tmp_path / name, "base": "tiny", **SHORT} | changed
        sets = [given.pop("train_set", setting[2]), given.pop("val_set", setting[3])]
        return train(model, processor, *sets, given.pop("features", setting[4]), **given)

    return run


@pytest.fixture
def write_config(scenes, feature_folder, tmp_path):
    """Write a config of a short run; returns its path."""

    def write(name, **recipe):
        annotations = scenes / "annotations"
        content = {
            "output": str(tmp_path / name),
            "model": {"base": "tiny"},
            "data": {"train": str(annotations / "train_mixture.json")},
            "features": {"folder": str(feature_folder)},
            "recipe": SHORT | recipe,
        }
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
        return tmp_path / f"{name}.yaml"

    return write


def rewind(output, step):
    """Leave what a run had written when it was killed after its checkpoint of this step."""
    for path in checkpoints(output):
        if step_of(path) > step:
            shutil.rmtree(path)
    state_run(output, read_run(output).model_copy(update={"history": []}))


def losses(result) -> list[float]:
    """Of each logged step."""
    return [row["loss"] for row in result.history if "loss" in row]


class Terminate(TrainerCallback):
    """The process gets SIGTERM in the middle of a step."""

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
