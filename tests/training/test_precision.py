"""Training in bfloat16 at less cost: the same numbers, and nothing is left of it afterwards."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cosine_similarity
from transformers import TrainerCallback

from mmduet.checkpoints import build_tiny
from mmduet.data.collator import Collator, model_inputs
from mmduet.kernels.attention import NAME, use_split_attention
from mmduet.kernels.packing import NAME as PACKED
from mmduet.training import add_lora
from mmduet.training.precision import _Added, cheap_bfloat16, has_fast_bfloat16
from mmduet.training.recipe import Recipe
from mmduet.training.run import _Run


@pytest.fixture
def wrapped():
    """With weights of LoRA that are not zero."""
    model = add_lora(build_tiny()[0], r=4, alpha=8, dropout=0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model.train()


@pytest.fixture
def batch(setting):
    _, processor, train_set, _, features = setting
    return model_inputs(Collator(processor, features)([train_set[0], train_set[1]]))


def step(model, batch) -> tuple[float, torch.Tensor]:
    """Loss, and all gradients in a row."""
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(**batch).loss
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


def test_loss_and_gradients_are_those_of_autocast_alone(wrapped, batch):
    loss, gradient = step(wrapped, batch)
    with cheap_bfloat16(wrapped):
        cheap_loss, cheap_gradient = step(wrapped, batch)
    assert cheap_loss == pytest.approx(loss, rel=5e-3)
    assert cosine_similarity(cheap_gradient, gradient, dim=0) > 0.999


@pytest.mark.parametrize(("autocast", "tolerance"), [(False, 1e-5), (True, 2e-2)])
def test_an_added_product_is_plain_lora(wrapped, autocast, tolerance):
    layer = wrapped.get_base_model().language_model.model.layers[0].mlp.up_proj
    x = torch.randn(2, 5, layer.in_features, requires_grad=True)
    found = []
    for variant in ({}, {"default": _Added()}):
        layer.lora_variant = variant
        wrapped.zero_grad()
        x.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            output = layer(x)
        output.float().square().sum().backward()
        parts = (output, x.grad, layer.lora_A["default"].weight.grad, layer.lora_B["default"].weight.grad)
        found.append([part.detach().clone() for part in parts])
    for plain, added in zip(*found, strict=True):
        assert added.dtype == plain.dtype
        assert (added - plain).norm() <= tolerance * plain.norm()


def test_within_it_frozen_weights_are_bfloat16_and_trained_ones_float32(wrapped):
    language_model = wrapped.get_base_model().language_model
    layer = language_model.model.layers[0].mlp.up_proj
    with cheap_bfloat16(wrapped):
        assert layer.base_layer.weight.dtype == torch.bfloat16
        assert language_model.lm_head.weight.dtype == torch.bfloat16
        assert language_model.get_input_embeddings().weight.dtype == torch.float32
        assert {p.dtype for p in wrapped.parameters() if p.requires_grad} == {torch.float32}


def test_a_model_that_a_session_has_watched_with_gets_its_attention_too(wrapped):
    config = wrapped.get_base_model().language_model.config
    use_split_attention(wrapped.get_base_model())
    with cheap_bfloat16(wrapped):
        assert config._attn_implementation == PACKED
    assert config._attn_implementation == NAME


def test_afterwards_all_is_as_it_was_whatever_happened(wrapped, batch):
    exact = wrapped.get_base_model().language_model.model.layers[0].mlp.up_proj.base_layer
    exact.weight.data = exact.weight.data.bfloat16().float()  # needs no copy
    before = {name: value.clone() for name, value in wrapped.state_dict().items()}
    loss, gradient = step(wrapped, batch)
    with pytest.raises(TypeError, match="no_such_input"), cheap_bfloat16(wrapped):
        step(wrapped, batch | {"no_such_input": None})
    after = wrapped.state_dict()
    assert all(torch.equal(after[name], value) and after[name].dtype == value.dtype for name, value in before.items())
    language_model = wrapped.get_base_model().language_model
    assert language_model.lm_head.weight is language_model.get_input_embeddings().weight
    assert language_model.config._attn_implementation == "sdpa"
    again, gradient_again = step(wrapped, batch)
    assert (again, gradient_again.tolist()) == (loss, gradient.tolist())


def test_an_accelerator_keeps_bfloat16():
    assert has_fast_bfloat16(torch.device("cuda"))


@pytest.mark.parametrize(("fast", "found"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_cpu_without_kernels_for_bfloat16_computes_in_float32(short, monkeypatch, capsys, fast, found):
    seen = set()

    class Listener(TrainerCallback):
        def on_step_begin(self, args, state, control, model=None, **kwargs):
            seen.add(model.get_base_model().language_model.lm_head.weight.dtype)

    monkeypatch.setattr("mmduet.training.run.has_fast_bfloat16", lambda device: fast)
    short(bf16=True, steps=1, align_iterations=0, val_set=None, callbacks=[Listener()])
    assert seen == {found}
    assert ("this CPU computes bfloat16 slowly" in capsys.readouterr().err) == (not fast)


def test_a_model_in_bfloat16_is_trained_in_bfloat16_anywhere(setting, monkeypatch):
    """Its frozen weights have no float32 values to compute with."""
    monkeypatch.setattr("mmduet.training.run.has_fast_bfloat16", lambda device: False)
    model, processor, train_set, *_ = setting
    run = _Run(model.bfloat16(), processor, train_set, None, None, Path("out"), "tiny", Recipe(steps=1, bf16=True))
    assert run.bf16
