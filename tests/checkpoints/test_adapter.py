"""Adapters as PEFT, LLaVA's trainers and broken downloads leave them, on the `tiny` model."""

import json
import re
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from mmduet.checkpoints import build_tiny, load_adapter, save_adapter
from mmduet.checkpoints.adapter import read_adapter
from mmduet.errors import CheckpointError
from tests.checkpoints.test_loading import scores, trained_tiny

EMBEDDINGS = "base_model.model.language_model.model.embed_tokens.weight"
OUTPUT = "base_model.model.language_model.lm_head.weight"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An adapter of `tiny`, in float32; not to be changed."""
    folder = tmp_path_factory.mktemp("saved") / "adapter"
    save_adapter(trained_tiny()[0], folder, base="tiny", dtype=torch.float32)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of it."""
    return shutil.copytree(saved, tmp_path / "adapter")


def change_tensors(folder, change):
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def change_settings(folder, **settings):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def without(*parts):
    def change(tensors):
        for name in [name for name in tensors if any(part in name for part in parts)]:
            del tensors[name]

    return change


@pytest.mark.parametrize(
    ("removed", "named"),
    [
        (("informative_head", "relevance_head"), "no informative_head and no relevance_head"),
        (("relevance_head",), "no relevance_head, so its scores would be random"),
    ],
)
def test_an_adapter_without_heads_is_refused(folder, removed, named):
    change_tensors(folder, without(*removed))
    with pytest.raises(CheckpointError, match=named):
        load_adapter(build_tiny()[0], folder)


def test_without_lora_the_heads_and_the_projector_are_read(folder):
    change_tensors(folder, without("lora_"))
    model = load_adapter(build_tiny()[0], folder)
    assert torch.equal(model.informative_head.weight, read_adapter(folder).full["informative_head.weight"])


@pytest.mark.parametrize("removed", ["lora_A", "projector.0.bias"])
def test_a_tensor_that_the_adapter_lacks_is_named(folder, removed):
    change_tensors(folder, without(removed))
    with pytest.raises(CheckpointError, match="is missing in the adapter and "):
        load_adapter(build_tiny()[0], folder)


def test_every_part_that_the_config_promises_is_needed(folder):
    """Any module of modules_to_save, and LoRA on any layer."""
    path = folder / "adapter_model.safetensors"
    complete = load_file(path)
    parts = {re.split(r"\.(?:weight|bias|lora_[AB]|\d\.(?:weight|bias))", name)[0] for name in complete}
    assert len(parts) == 3 + sum(name.endswith("lora_A.weight") for name in complete)
    for part in parts:
        save_file({name: value for name, value in complete.items() if not name.startswith(f"{part}.")}, path)
        with pytest.raises(CheckpointError, match=r"is missing in the adapter and .*get the adapter again|has no "):
            load_adapter(build_tiny()[0], folder)
        save_file(complete, path)
    load_adapter(build_tiny()[0], folder)


def test_a_published_name_of_the_projector_is_understood(folder):
    change_settings(folder, modules_to_save=["mm_projector", "response_head", "connector"])
    load_adapter(build_tiny()[0], folder)
    change_tensors(folder, without("projector"))
    with pytest.raises(CheckpointError, match=r"projector\.0\.bias is missing"):
        load_adapter(build_tiny()[0], folder)


def test_an_adapter_of_other_trainers_may_have_lora_on_some_layers(folder):
    change_settings(folder, target_modules=["layers.0.self_attn.q_proj"], modules_to_save=None)
    change_tensors(folder, without("layers.1.", "k_proj", "projector"))
    load_adapter(build_tiny()[0], folder)


def test_lora_on_a_module_that_is_not_there_is_named(folder):
    def change(tensors):
        tensors["base_model.model.language_model.nowhere.lora_A.weight"] = torch.zeros(4, 64)

    change_tensors(folder, change)
    with pytest.raises(CheckpointError, match=r"nowhere\.lora_A\.weight is \(4, 64\) in the adapter and unknown in"):
        load_adapter(build_tiny()[0], folder)


def by_peft(model, folder, *saved, **settings):
    """Train the model a little with PEFT, write its adapter to the folder."""
    config = LoraConfig(
        **{"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "up_proj"], **settings},
        modules_to_save=["projector", "informative_head", "relevance_head", *saved],
    )
    torch.manual_seed(0)
    wrapped = get_peft_model(model, config).eval()
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    wrapped.save_pretrained(str(folder), save_embedding_layers=False)
    return wrapped.get_base_model()


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {"rank_pattern": {"layers.0.self_attn.q_proj": 2}, "alpha_pattern": {"up_proj": 32}},
        {"alpha_pattern": {r"layers\.1\.mlp\.up_proj": 32, "up_proj": 16}},
        {"rank_pattern": {"^language_model.model.layers.0.self_attn.q_proj": 2, "^self_attn.q_proj": 3}},
        {"target_modules": r"vision_tower.*q_proj", "lora_bias": True},
    ],
)
def test_peft_settings_are_read(frames, tmp_path, merge, settings):
    """The same scores as in PEFT's own model."""
    model, processor = build_tiny()
    wanted = scores(by_peft(model, tmp_path, **settings), processor, frames)
    for saved, loaded in zip(
        wanted, scores(load_adapter(build_tiny()[0], tmp_path, merge=merge), processor, frames), strict=True
    ):
        assert abs(saved - loaded).max() < (1e-5 if merge else 1e-6)


@pytest.mark.filterwarnings("ignore:`lora_bias=True` was passed")
def test_biases_of_lora_that_cannot_be_merged_are_named(frames, tmp_path):
    model, processor = build_tiny()
    wanted = scores(by_peft(model, tmp_path, lora_bias=True), processor, frames)
    with pytest.raises(CheckpointError, match=r"lora_bias, and language_model\..* of its base has no bias.*merge"):
        load_adapter(build_tiny()[0], tmp_path)
    found = scores(load_adapter(build_tiny()[0], tmp_path, merge=False), processor, frames)
    assert all(abs(saved - loaded).max() < 1e-6 for saved, loaded in zip(wanted, found, strict=True))


@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings")
@pytest.mark.parametrize("saved", [("embed_tokens",), ("lm_head",), ("embed_tokens", "lm_head")])
def test_embeddings_that_an_adapter_unties_are_refused(tmp_path, saved):
    """PEFT gives each module of modules_to_save a tensor of its own, and leaves the base's to the other."""
    by_peft(build_tiny()[0], tmp_path, *saved)
    with pytest.raises(CheckpointError, match=r"unties the base's embeddings, .*leave embed_tokens and lm_head out"):
        load_adapter(build_tiny()[0], tmp_path)


def test_embeddings_that_an_adapter_saves_twice_and_alike_are_read(tmp_path):
    """As PEFT's ensure_weight_tying does."""
    by_peft(build_tiny()[0], tmp_path, "embed_tokens", "lm_head")
    rows = load_file(tmp_path / "adapter_model.safetensors")[EMBEDDINGS]
    change_tensors(tmp_path, lambda tensors: tensors.update({OUTPUT: rows.clone()}))
    assert torch.equal(load_adapter(build_tiny()[0], tmp_path).get_output_embeddings().weight, rows)


def test_embeddings_in_an_adapter_replace_the_bases(folder):
    """With more rows, too: trainers that add tokens leave them there."""
    base = build_tiny()[0]
    rows = base.get_input_embeddings().weight.detach()
    grown = torch.cat([rows + 1, torch.ones(5, rows.shape[1])])
    change_tensors(folder, lambda tensors: tensors.update({EMBEDDINGS: grown}))
    model = load_adapter(base, folder)
    assert torch.equal(model.get_input_embeddings().weight, grown)
    assert model.get_output_embeddings().weight.shape == grown.shape


def test_embeddings_of_another_width_are_refused(folder):
    change_tensors(folder, lambda tensors: tensors.update({EMBEDDINGS: torch.zeros(300, 32)}))
    with pytest.raises(CheckpointError, match=r"embed_tokens\.weight is \(300, 32\) in the adapter"):
        load_adapter(build_tiny()[0], folder)


def test_what_llavas_trainers_keep_beside_the_adapter(folder):
    """A pickle is refused with the way to convert it; converted, it is read."""
    wanted = load_adapter(build_tiny()[0], folder).state_dict()
    tensors = load_file(folder / "adapter_model.safetensors")
    lora = {name: value for name, value in tensors.items() if "lora_" in name}
    rest = {name: value for name, value in tensors.items() if name not in lora}
    save_file(lora, folder / "adapter_model.safetensors")
    (folder / "non_lora_trainables.bin").write_bytes(b"pickle")
    with pytest.raises(CheckpointError, match=r"non_lora_trainables\.bin, a pickle.*convert once with"):
        load_adapter(build_tiny()[0], folder)
    save_file(rest, folder / "non_lora_trainables.safetensors")
    found = load_adapter(build_tiny()[0], folder).state_dict()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"r": 8}, "says rank 8 for .*of different adapters"),
        ({"r": 10**9}, "field r: .*found 1000000000"),
        ({"r": -4}, "field r: "),
        ({"r": "4"}, "field r: "),
        ({"r": None}, "field r: "),
        ({"lora_alpha": float("nan")}, "field lora_alpha: "),
        ({"lora_dropout": 7}, "field lora_dropout: "),
        ({"peft_type": "IA3"}, "field peft_type: .*'LORA'.*'IA3'"),
        (
            {"rank_pattern": {"(.*)*x": 4}},
            r"rank_pattern has the regular expression '\(\.\*\)\*x', .*merge the adapter",
        ),
        ({"alpha_pattern": {"q_proj": 4, "up|down": 8}}, r"alpha_pattern has the regular expression 'up\|down'"),
        ({"init_lora_weights": "pissa"}, "field init_lora_weights"),
        ({"layer_replication": [[0, 2]]}, "layer_replication is not read here"),
        ({"use_dora": True}, "lora_magnitude_vector is missing in the adapter"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map names code of its own"),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(folder, settings, message):
    change_settings(folder, **settings)
    with pytest.raises(CheckpointError, match=message):
        load_adapter(build_tiny()[0], folder)


def test_numbers_that_are_none_are_named(folder):
    change_tensors(
        folder, lambda tensors: tensors.update({"base_model.model.projector.0.bias": torch.full((64,), torch.nan)})
    )
    with pytest.raises(CheckpointError, match=r"projector\.0\.bias holds NaN"):
        load_adapter(build_tiny()[0], folder)


def test_quantised_tensors_are_refused(folder):
    change_tensors(
        folder, lambda tensors: tensors.update({"base_model.model.projector.0.bias": torch.zeros(64).char()})
    )
    with pytest.raises(CheckpointError, match=r"projector\.0\.bias is I8; quantised"):
        load_adapter(build_tiny()[0], folder)


def test_a_refused_adapter_leaves_the_model_as_it_was(folder):
    model, untouched = build_tiny()[0], build_tiny()[0].state_dict()
    change_tensors(folder, without("projector.0.bias"))
    with pytest.raises(CheckpointError):
        load_adapter(model, folder)
    assert all(torch.equal(untouched[name], value) for name, value in model.state_dict().items())
