"""A base is known by its numbers and settings, whatever its name."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmduet import load_duet
from mmduet.checkpoints import build_tiny
from mmduet.training.base_model import base_digest, base_settings

TINY = build_tiny()
WEIGHTS = sorted(TINY[0].state_dict())


@settings(deadline=None, max_examples=25)
@given(name=st.sampled_from(WEIGHTS), place=st.integers(0), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_every_number_counts(name, place, dtype):
    model, processor = build_tiny()
    model.to(dtype)
    before = base_digest(model, processor)
    flat = model.state_dict()[name].flatten()
    flat.data[place % len(flat)] += 1
    assert base_digest(model, processor) != before


def test_the_same_base_has_the_same_digest():
    assert base_digest(*build_tiny()) == base_digest(*TINY)


def test_weights_that_are_views_are_read():
    model, processor = build_tiny()
    before = base_digest(model, processor)
    for parameter in model.parameters():
        shifted = torch.empty(parameter.numel() + 1)[1:].view_as(parameter)
        parameter.data = shifted.copy_(parameter.data)
    assert base_digest(model, processor) == before


@pytest.mark.parametrize(
    ("decides", "change", "name"),
    [
        ("heads", lambda processor: processor.set_max_pixels(12544), "max_pixels"),
        ("words", lambda processor: processor.set_frames_per_turn(3), "frames_per_turn"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*initialised at random")
def test_settings_of_frames_are_stated(decides, change, name):
    model, processor = load_duet("tiny-words", decides=decides)
    before = base_settings(model, processor)
    change(processor)
    after = base_settings(model, processor)
    assert before[name] != after[name]
    assert before["decides"] == decides
