"""Packing: the numbers of a padded batch, without its padding."""

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from mmduet.checkpoints import build_tiny
from mmduet.kernels import packing
from mmduet.kernels.packing import packed

LENGTHS = (9, 4, 13)
PADDINGS = {
    "right": torch.arange(13) < torch.tensor(LENGTHS)[:, None],
    "left": torch.arange(13).flip(0) < torch.tensor(LENGTHS)[:, None],
}


@pytest.fixture(scope="module")
def model():
    return build_tiny()[0]


def hidden_states(model, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the tokens that are none of the padding: [tokens, H], and its gradient by the embeddings."""
    embeds = torch.randn(*mask.shape, model.config.text_config.hidden_size, generator=torch.Generator().manual_seed(0))
    embeds.requires_grad_()
    hidden = model.hidden_states(embeds, attention_mask=mask.long(), use_cache=False)[mask]
    hidden.square().sum().backward()
    return hidden.detach(), embeds.grad[mask]


@pytest.mark.parametrize("side", PADDINGS)
@pytest.mark.parametrize(("block", "kept"), [(256, 512), (4, 512), (5, 8)])
def test_hidden_states_and_gradients_are_those_of_each_conversation_alone(model, monkeypatch, side, block, kept):
    monkeypatch.setattr(packing, "BLOCK", block)
    monkeypatch.setattr(packing, "KEPT", kept)
    mask = PADDINGS[side]
    with packed(model.language_model):
        together = hidden_states(model, mask)
    alone = hidden_states(model, mask)
    for ours, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_padding_is_not_computed(model):
    seen = []
    layer = model.language_model.base_model.layers[0]
    hook = layer.register_forward_pre_hook(lambda module, args, kwargs: seen.append(args[0].shape), with_kwargs=True)
    mask = PADDINGS["right"]
    with packed(model.language_model):
        hidden = model.hidden_states(
            torch.randn(*mask.shape, model.config.text_config.hidden_size), attention_mask=mask.long()
        )
    hook.remove()
    assert [shape[:2] for shape in seen] == [(1, sum(LENGTHS))]
    assert hidden.shape[:2] == mask.shape
    assert (hidden[~mask] == 0).all()


def test_dropout_of_weights_that_are_computed_again_is_the_same_dropout(model, monkeypatch):
    monkeypatch.setattr(packing, "BLOCK", 4)
    query, key, value = (torch.randn(1, heads, 20, 8, requires_grad=True) for heads in (4, 2, 2))
    gradients = []
    for kept in (8, 512):
        monkeypatch.setattr(packing, "KEPT", kept)
        query.grad = None
        torch.manual_seed(0)
        output, _ = packing.packed_attention(None, query, key, value, None, dropout=0.5, lengths=[12, 8])
        output.square().sum().backward()
        gradients.append(query.grad)
    torch.testing.assert_close(*gradients)


def test_a_session_and_generation_with_a_cache_go_as_before(model):
    embeds = torch.randn(1, 7, model.config.text_config.hidden_size)
    wanted = model.hidden_states(embeds)
    with packed(model.language_model):
        torch.testing.assert_close(model.hidden_states(embeds), wanted)
        first = model.language_model.base_model(inputs_embeds=embeds[:, :4], use_cache=True)
        rest = model.language_model.base_model(
            inputs_embeds=embeds[:, 4:], attention_mask=torch.ones(1, 7), past_key_values=first.past_key_values
        )
        torch.testing.assert_close(rest.last_hidden_state, wanted[:, 4:])


def test_a_model_with_windows_keeps_its_own_attention():
    config = Qwen2Config(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, use_sliding_window=True, sliding_window=4, max_window_layers=1,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    assert "sliding_attention" in config.layer_types
    with packed(model):
        assert config._attn_implementation == "sdpa"
