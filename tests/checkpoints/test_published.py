"""Published layouts, made here from the `tiny` model: read, refused, converted."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    Qwen2Config,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from mmduet.checkpoints import load_duet
from mmduet.checkpoints.published import our_name, published_config
from mmduet.errors import CheckpointError
from mmduet.model.duet import DuetConfig, DuetForConditionalGeneration
from mmduet.model.prompt import IMAGE
from mmduet.streaming.session import DuetSession

pytestmark = pytest.mark.filterwarnings("ignore:.*(not used|in no file)")


def qwen_tiny(tokenizer):
    """A published model in small: Qwen2 and SigLIP. One row is for the token that transformers adds for a qwen2."""
    text = Qwen2Config(
        vocab_size=len(tokenizer) + 1, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=False, initializer_range=0.2,
    )  # fmt: skip
    vision = SiglipVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, image_size=56, patch_size=8
    )
    torch.manual_seed(0)
    image_id = tokenizer.convert_tokens_to_ids(IMAGE)
    return DuetForConditionalGeneration(
        DuetConfig(text_config=text, vision_config=vision, image_token_id=image_id)
    ).eval()  # fmt: skip


def llava_hf_name(name):
    """The name of one of our tensors in llava-hf's layout."""
    for ours, theirs in (
        ("vision_tower.model.", "vision_tower.vision_model."),
        ("projector.0.", "multi_modal_projector.linear_1."),
        ("projector.2.", "multi_modal_projector.linear_2."),
    ):
        name = name.replace(ours, theirs)
    return name


def llava_next_name(name):
    """The name of one of our tensors in LLaVA-NeXT's layout."""
    for ours, theirs in (
        ("vision_tower.model.", "model.vision_tower.vision_tower.vision_model."),
        ("projector.", "model.mm_projector."),
        ("language_model.model.", "model."),
        ("language_model.lm_head.", "lm_head."),
    ):
        name = re.sub(rf"^{re.escape(ours)}", theirs, name)
    return name


@pytest.fixture
def llava_hf(tiny, tmp_path):
    """(model, folder): a base in llava-hf's layout, in two shards, one tower layer too many."""
    tokenizer, model = tiny[1].tokenizer, qwen_tiny(tiny[1].tokenizer)
    vision = model.config.vision_config.to_dict() | {"num_hidden_layers": 2}
    config = {
        "model_type": "llava_onevision", "text_config": model.config.text_config.to_dict(), "vision_config": vision,
        "vision_feature_layer": -2, "tie_word_embeddings": False,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    tokenizer.save_pretrained(tmp_path)
    tensors = {
        llava_hf_name(name): value
        for name, value in model.state_dict().items()
        if "_head.w" not in name or "lm" in name
    }
    tensors["image_newline"] = torch.zeros(64)
    tensors["vision_tower.vision_model.encoder.layers.1.layer_norm1.bias"] = torch.zeros(32)
    names = sorted(tensors)
    shards = {f"model-0000{n}-of-00002.safetensors": names[n - 1 :: 2] for n in (1, 2)}
    for file, listed in shards.items():
        save_file({name: tensors[name].contiguous() for name in listed}, tmp_path / file)
    index = {"weight_map": {name: file for file, listed in shards.items() for name in listed}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    return model, tmp_path


def same_heads(model, other):
    other.load_state_dict(
        {name: value for name, value in model.state_dict().items() if "_head.w" in name}, strict=False
    )


def test_llava_hf_layout_in_shards(llava_hf, frames):
    model, folder = llava_hf
    with pytest.warns(UserWarning, match=r"image_newline.*last layer is not read"):
        loaded, processor = load_duet(folder)
    same_heads(model, loaded)
    wanted = DuetSession(model, processor).run(frames[:3])
    found = DuetSession(loaded, processor).run(frames[:3])
    assert (wanted.informative == found.informative).all()


@pytest.mark.parametrize("feature_layer", [-1, -2])
def test_what_transformers_writes_is_read(tiny, tmp_path, feature_layer):
    """The names of tensors are those of the installed version; the features are its model's."""
    model = qwen_tiny(tiny[1].tokenizer)
    image_id = model.config.image_token_id
    vision = model.config.vision_config.to_dict() | {"num_hidden_layers": 2, "vision_use_head": True}
    config = LlavaOnevisionConfig(
        text_config=model.config.text_config,
        vision_config=SiglipVisionConfig(**vision),
        vision_feature_layer=feature_layer, image_token_index=image_id, video_token_index=image_id,
        tie_word_embeddings=False,
    )  # fmt: skip
    stock = LlavaOnevisionForConditionalGeneration(config).eval()
    stock.save_pretrained(tmp_path)
    tiny[1].tokenizer.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"head\.probe \(the tower's pooling head .*post_layernorm\.weight \(the"):
        loaded, _ = load_duet(tmp_path)
    pixels, ids = torch.rand(2, 3, 56, 56), torch.arange(20)[None]
    with torch.no_grad():
        layers = stock.model.vision_tower(pixels, output_hidden_states=True).hidden_states
        torch.testing.assert_close(loaded.vision_tower(pixels), layers[feature_layer])
        hidden = loaded.hidden_states(loaded.embed(ids, ()))
        torch.testing.assert_close(loaded.vocabulary_logits(hidden), stock(input_ids=ids).logits)


@pytest.mark.parametrize("kind", [SiglipVisionModel, SiglipModel])
def test_a_tower_of_its_own_that_transformers_writes_is_read(tiny, tmp_path, kind):
    """LLaVA-NeXT's layout without the tower, and the tower's folder next to it."""
    model = qwen_tiny(tiny[1].tokenizer)
    vision = model.config.vision_config.to_dict() | {"num_hidden_layers": 2}
    tower = SiglipVisionModel(SiglipVisionConfig(**vision)) if kind is SiglipVisionModel else SiglipModel(
        SiglipConfig(vision_config=vision, text_config={"hidden_size": 32, "num_attention_heads": 2, "vocab_size": 9})
    )  # fmt: skip
    tower.save_pretrained(tmp_path / "siglip")
    base = tmp_path / "base"
    tiny[1].tokenizer.save_pretrained(base)
    config = model.config.text_config.to_dict() | {"mm_vision_tower": "siglip", "mm_projector_type": "mlp2x_gelu"}
    (base / "config.json").write_text(json.dumps(config))
    tensors = {
        llava_next_name(name): value
        for name, value in model.state_dict().items()
        if not name.startswith(("vision_tower", "informative", "relevance"))
    }
    save_file({name: value.contiguous() for name, value in tensors.items()}, base / "model.safetensors")
    loaded, _ = load_duet(base)
    wanted = getattr(tower, "vision_model", tower).state_dict()
    found = loaded.vision_tower.model.state_dict()
    assert len(found) == 3 + 16, "embeddings and the one layer that is used"
    assert all(torch.equal(value, wanted[name]) for name, value in found.items())


@pytest.mark.parametrize("style", [llava_hf_name, llava_next_name])
def test_every_name_comes_back(tiny, style):
    names = [name for name in qwen_tiny(tiny[1].tokenizer).state_dict() if not name.startswith(("inf", "rel"))]
    assert [our_name(style(name)) for name in names] == names


def test_newer_llava_hf_names():
    assert (
        our_name("model.language_model.layers.0.mlp.up_proj.weight")
        == "language_model.model.layers.0.mlp.up_proj.weight"
    )
    assert our_name("model.vision_tower.vision_model.embeddings.x") == "vision_tower.model.embeddings.x"
    assert our_name("model.multi_modal_projector.linear_2.bias") == "projector.2.bias"


def test_both_pairs_of_head_names():
    assert our_name("response_head.weight") == "informative_head.weight"
    assert our_name("related_head.weight") == "relevance_head.weight"


def test_a_missing_shard_is_named(llava_hf):
    _, folder = llava_hf
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="lacks the shard model-00002-of-00002"):
        load_duet(folder)


def test_pickled_weights_are_refused_with_the_way_out(llava_hf):
    _, folder = llava_hf
    for path in folder.glob("model*"):
        path.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(CheckpointError, match=r"pickled weights \(pytorch_model\.bin\).*save_file"):
        load_duet(folder)


def test_a_tensor_that_fits_nowhere_is_named(llava_hf):
    _, folder = llava_hf
    path = folder / "model-00001-of-00002.safetensors"
    from safetensors.torch import load_file

    save_file({**load_file(path), "surprise.weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"surprise\.weight fits nowhere"):
        load_duet(folder)


def test_the_7b_layout_on_the_meta_device(tmp_path):
    """Shapes of the published model, from configs alone."""
    base, tower = tmp_path / "base", tmp_path / "siglip"
    base.mkdir()
    tower.mkdir()
    (tower / "config.json").write_text(json.dumps({
        "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
        "num_attention_heads": 16, "image_size": 384, "patch_size": 14,
    }))  # fmt: skip
    (base / "config.json").write_text(json.dumps({
        "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False,
        "mm_vision_tower": "siglip", "mm_projector_type": "mlp2x_gelu", "mm_spatial_pool_mode": "bilinear",
    }))  # fmt: skip
    config = published_config(base)
    assert config.tokens_per_frame == 49
    with torch.device("meta"):
        model = DuetForConditionalGeneration(config)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert shapes["projector.0.weight"] == (3584, 1152)
    assert shapes["projector.2.weight"] == (3584, 3584)
    assert shapes["informative_head.weight"] == shapes["relevance_head.weight"] == (2, 3584)
    assert sum("vision_tower.model.encoder.layers" in name and "layer_norm1.weight" in name for name in shapes) == 26
    assert 7.9e9 < model.num_parameters() < 8.1e9
