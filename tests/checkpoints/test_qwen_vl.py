"""Checkpoints of Qwen2.5-VL: published names of tensors, and what does not fit is named."""

import json
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlavaProcessor, Qwen2_5_VLForConditionalGeneration

from mmduet import load_duet
from mmduet.checkpoints import build_tiny_words, save_checkpoint
from mmduet.errors import CheckpointError
from mmduet.qwen_vl import QwenVLHeads, QwenVLWords

PROCESSOR, WEIGHTS = "preprocessor_config.json", "model.safetensors"


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint of `tiny-words` with the names of tensors that published files have."""
    save_checkpoint(*build_tiny_words(), tmp_path / "qwen")
    change_weights(tmp_path / "qwen", lambda weights: {published(name): value for name, value in weights.items()})
    return tmp_path / "qwen"


def published(name):
    return name.removeprefix("model.") if name.startswith("model.visual.") else name.replace("language_model.", "")


def change_weights(folder, change):
    weights = change(load_file(folder / WEIGHTS))
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / WEIGHTS, {"format": "pt"})


def change_json(folder, name, **fields):
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | fields))


def test_published_names_are_read_without_a_warning(checkpoint):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, processor = load_duet(checkpoint)
    assert type(model) is QwenVLWords
    wanted = build_tiny_words()[0].state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())
    assert processor.images.size["longest_edge"] == 56 * 56


def test_what_transformers_writes_is_read(checkpoint, tmp_path):
    """Weights by the stock class, and one file for all parts of the processor."""
    wanted, processor = build_tiny_words()
    Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint).save_pretrained(tmp_path / "stock")
    LlavaProcessor(processor.images, processor.tokenizer).save_pretrained(tmp_path / "stock")  # writes as Qwen's does
    assert not (tmp_path / "stock" / PROCESSOR).exists()
    model, found = load_duet(tmp_path / "stock")
    assert all(torch.equal(value, wanted.state_dict()[name]) for name, value in model.state_dict().items())
    assert found.images.size == processor.images.size
    change_json(tmp_path / "stock", "processor_config.json", image_processor={"image_std": [0, 1, 1]})
    with pytest.raises(CheckpointError, match=r"processor_config\.json: field image_std / 0"):
        load_duet(tmp_path / "stock")


def test_heads_start_at_random_and_are_named(checkpoint):
    with pytest.warns(UserWarning, match=r"at random: informative_head.weight, relevance_head.weight"):
        model, _ = load_duet(checkpoint, decides="heads")
    assert type(model) is QwenVLHeads


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {n: v for n, v in w.items() if "layers.0.mlp.up_proj" not in n}, "up_proj.weight is in none of its"),
        (lambda w: {n: v for n, v in w.items() if not n.startswith("visual.")}, r"model\.visual\..* is in none of its"),
        (lambda w: w | {"model.foo.weight": torch.zeros(2)}, "model.foo.weight fits nowhere"),
        (lambda w: w | {"visual.patch_embed.proj.weight": torch.zeros(2, 2)}, r"is \(2, 2\) in the file and \(32, 3"),
        (lambda w: w | {"model.norm.weight": torch.full((64,), torch.nan)}, "norm.weight holds NaN"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(checkpoint, change, message):
    change_weights(checkpoint, change)
    with pytest.raises(CheckpointError, match=message):
        load_duet(checkpoint)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        (PROCESSOR, {"patch_size": 16}, "pixels a patch: 16 by the processor's files, 14 by config.json"),
        (PROCESSOR, {"size": {"longest_edge": "big"}}, "size / longest_edge"),
        (PROCESSOR, {"image_std": [0, 1, 1]}, "image_std / 0"),
        ("config.json", {"image_token_id": 5}, "the image token"),
        ("config.json", {"model_type": "qwen3_vl"}, "is no video model"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(checkpoint, name, fields, message):
    change_json(checkpoint, name, **fields)
    with pytest.raises(CheckpointError, match=message):
        load_duet(checkpoint)


@pytest.mark.parametrize(
    "size", [{"size": {"min_pixels": 784, "max_pixels": 1568}}, {"max_pixels": 1568, "size": None}]
)
def test_earlier_spellings_of_the_bounds_are_read(checkpoint, size):
    change_json(checkpoint, PROCESSOR, **size)
    _, processor = load_duet(checkpoint)
    assert processor.images.size["longest_edge"] == 1568
    assert processor.frame.tokens == 2


def test_the_bounds_of_a_frame_are_a_parameter(checkpoint):
    _, processor = load_duet(checkpoint, max_pixels=28 * 28)
    frame = torch.zeros(1, 3, 112, 84, dtype=torch.uint8)
    assert processor.frame_counts(processor.pixel_values(frame)) == [1]
    with pytest.raises(Exception, match="max_pixels=10: one token of a frame has 784 pixels"):
        load_duet(checkpoint, max_pixels=10)
    with pytest.raises(Exception, match="every frame of this model has 32 pixels a side"):
        load_duet("tiny", max_pixels=1000)
