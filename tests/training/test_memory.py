"""What a training step keeps for its backward pass, with activation checkpointing."""

from collections import Counter

import pytest
import torch
from transformers import TrainerCallback

from mmduet.checkpoints import build_tiny
from mmduet.data.collator import Collator, model_inputs
from mmduet.training import add_lora
from mmduet.training.run import CHECKPOINTING


class SavedTensors(TrainerCallback):
    """Counts the shapes that autograd saves in each step."""

    def __init__(self):
        self.steps: list[Counter] = []

    def on_step_begin(self, args, state, control, **kwargs):
        shapes = Counter()
        self.steps.append(shapes)
        self.hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: (shapes.update([tuple(tensor.shape)]), tensor)[1], lambda tensor: tensor
        )
        self.hooks.__enter__()

    def on_step_end(self, args, state, control, **kwargs):
        self.hooks.__exit__(None, None, None)


@pytest.mark.parametrize("bf16", [False, True])
def test_the_frozen_tower_saves_nothing(short, bf16):
    """A step from video saves the tensors that a step from the feature cache saves, and no other."""
    ways = {"cache": {}, "video": {"features": None}, "no checkpointing": {"gradient_checkpointing": False}}
    saved = {}
    for name, changed in ways.items():
        counter, same = SavedTensors(), {"batch_size": 1, "steps": 1, "align_iterations": 0, "val_set": None}
        short(name, **{"bf16": bf16, "gradient_checkpointing": True, "callbacks": [counter], **same, **changed})
        (saved[name],) = counter.steps
    assert saved["video"] == saved["cache"]
    assert 0 < saved["video"].total() < saved["no checkpointing"].total() / 2, "else the counting shows nothing"


def step(setting, *, stored: bool, checkpointing: bool) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of a fresh model, from the feature cache or from video."""
    _, processor, train_set, _, features = setting
    torch.manual_seed(0)
    wrapped = add_lora(build_tiny()[0], r=4, alpha=8, dropout=0).train()
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    if checkpointing:
        wrapped.activation_checkpointing_enable(activation_checkpointing_kwargs=CHECKPOINTING)
    batch = Collator(processor, features if stored else None)([train_set[0], train_set[1]])
    loss = wrapped(**model_inputs(batch)).loss
    loss.backward()
    return loss.item(), {name: p.grad for name, p in wrapped.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_from_video_has_the_loss_and_gradients_of_one_from_the_cache(setting, checkpointing):
    loss, gradients = step(setting, stored=False, checkpointing=checkpointing)
    cached_loss, cached = step(setting, stored=True, checkpointing=checkpointing)
    assert loss == cached_loss
    assert gradients.keys() == cached.keys()
    assert any("projector" in name and gradient.any() for name, gradient in gradients.items())
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, cached[name], msg=name)
