"""Hostile and damaged checkpoint folders: nothing in them runs, and whatever is wrong is one sentence."""

import json
import os
import pickle
import shutil
from contextlib import suppress
from random import Random

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmduet.checkpoints import build_tiny, load_adapter, load_duet, load_processor, save_adapter
from mmduet.errors import CheckpointError, DuetError
from tests.checkpoints.test_loading import trained_tiny
from tests.mutants import mutate
from tests.mutations import bounded

CODE = "import pathlib\npathlib.Path({canary!r}).touch()\nclass Evil:\n    pass\n"


class Bomb:
    """Pickled, it makes a file when it is read."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return os.mkdir, (self.canary,)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """base: `tiny` in this project's layout, adapter: one of it. Not to be changed."""
    folder = tmp_path_factory.mktemp("saved")
    model, processor = build_tiny()
    model.save_pretrained(folder / "base")
    processor.save_pretrained(folder / "base")
    save_adapter(trained_tiny()[0], folder / "adapter", base="tiny")
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def change(path, **settings):
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "duet_processor.json"])
def test_code_that_a_checkpoint_brings_is_never_run(folder, tmp_path, file):
    canary = tmp_path / "canary"
    (folder / "base/evil.py").write_text(CODE.format(canary=str(canary)))
    names = {name: "evil.Evil" for name in ("AutoConfig", "AutoModel", "AutoModelForCausalLM")}
    change(folder / "base" / file, auto_map=names | {"AutoTokenizer": ["evil.Evil", "evil.Evil"]})
    with pytest.raises(CheckpointError, match=f"{file}: auto_map names code of its own, which is never run here"):
        load_duet(folder / "base")
    assert not canary.exists()


def test_a_tokenizer_class_of_its_own_is_never_imported(folder, tmp_path):
    canary = tmp_path / "canary"
    (folder / "base/tokenization_evil.py").write_text(CODE.format(canary=str(canary)))
    change(folder / "base/tokenizer_config.json", tokenizer_class="tokenization_evil.Evil")
    load_processor(folder / "base")  # transformers' general class reads tokenizer.json
    assert not canary.exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_model.bin", "non_lora_trainables.bin"])
def test_a_pickle_is_never_opened(folder, tmp_path, name):
    canary = tmp_path / "canary"
    for place in ("base", "adapter"):
        (folder / place / name).write_bytes(pickle.dumps(Bomb(canary)))
        weights = {"base": "model.safetensors", "adapter": "adapter_model.safetensors"}[place]
        (folder / place / weights).unlink()
    with pytest.raises(CheckpointError, match="pickled weights"):
        load_duet(folder / "base")
    with pytest.raises(CheckpointError, match="pickled weights"):
        load_adapter(build_tiny()[0], folder / "adapter")
    assert not canary.exists()


def test_a_complete_load_prints_nothing(folder, capfd, recwarn):
    load_duet(folder / "base", adapter=folder / "adapter")
    assert capfd.readouterr() == ("", "")
    assert not [str(warning.message) for warning in recwarn if "is_gradient_checkpointing" not in str(warning.message)]


def change_tensors(folder, edit):
    path = folder / "base/model.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda tensors: tensors.pop("informative_head.weight"), "informative_head.weight is in none of its files"),
        (lambda tensors: tensors.update(surprise=torch.zeros(2)), "the tensor surprise fits nowhere"),
        (lambda tensors: tensors.update({"projector.0.bias": torch.zeros(3)}), r"projector\.0\.bias is \(3,\) in the"),
        (lambda tensors: tensors.update({"projector.0.bias": torch.zeros(64).char()}), "is I8; quantised"),
        (lambda tensors: tensors.update({"projector.0.bias": torch.full((64,), torch.nan)}), "bias holds NaN"),
    ],
)
def test_this_projects_own_layout_is_checked_too(folder, edit, message):
    change_tensors(folder, edit)
    with pytest.raises(CheckpointError, match=message):
        load_duet(folder / "base")


def test_more_embeddings_than_the_config_says_are_used_and_told(folder):
    name = "language_model.model.embed_tokens.weight"
    change_tensors(folder, lambda tensors: tensors.update({name: torch.cat([tensors[name], torch.ones(5, 64)])}))
    with pytest.warns(UserWarning, match="has vocab_size 259, the embeddings have 264 rows"):
        model, _ = load_duet(folder / "base")
    assert model.get_input_embeddings().weight.shape == (264, 64)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda base: (base / "tokenizer.json").unlink(), "has no tokenizer"),
        (lambda base: change(base / "config.json", model_type="qwen2"), "is no video model .*'qwen2'"),
        (lambda base: change(base / "config.json", image_token_id=7), "the image token: .* 7 by config.json"),
        (lambda base: change(base / "config.json", pool_stride=0), "pooled by 0, is not read"),
        (lambda base: change(base / "duet_processor.json", frame={"size": 32, "tokens": 4, "std": 0.0}), "std"),
        (lambda base: change(base / "duet_processor.json", frame={"size": 16, "tokens": 4}), "pixels a side: 16 by"),
    ],
)
def test_what_a_base_lacks_is_one_sentence(folder, edit, message):
    edit(folder / "base")
    with pytest.raises(CheckpointError, match=message):
        load_duet(folder / "base")


@pytest.mark.parametrize("seed", range(30))
def test_mutants(saved, tmp_path, seed):
    """Whatever is changed in one file, nothing but a DuetError surfaces: anything else fails this test."""
    random = Random(seed)
    kind = ["base", "adapter", "processor"][seed % 3]
    folder = shutil.copytree(saved / ("adapter" if kind == "adapter" else "base"), tmp_path / "mutant")
    load = {"base": load_duet, "processor": load_processor, "adapter": lambda at: load_adapter(build_tiny()[0], at)}
    mutate(folder, random)
    with suppress(DuetError), bounded():
        load[kind](folder)
