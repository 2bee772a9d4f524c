"""The tower with names: what its tokens are made of."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import CheckpointError
from mmduet.model.duet import DuetConfig, DuetForConditionalGeneration
from mmduet.model.projector import SlotScale
from mmduet.vision.concepts import SLOTS, ConceptConfig, ConceptTower
from tests.concept_models import build_concepts

CLASSES, HIDDEN = 5, 16


@pytest.fixture(scope="module")
def tower() -> ConceptTower:
    made = ConceptTower(ConceptConfig(hidden_size=HIDDEN, concepts=[f"thing {n}" for n in range(CLASSES)])).eval()
    generator = torch.Generator().manual_seed(0)
    made.names.copy_(torch.randn(made.names.shape, generator=generator))
    return made


def sure_of(number: int, shape: tuple[int, ...]) -> torch.Tensor:
    logits = torch.zeros(*shape, CLASSES)
    logits[..., number] = 1000
    return logits


@given(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1))
def test_a_sure_frame_is_its_name_and_the_last_token_is_what_the_cells_show(tower, whole, cells):
    tokens = tower.read(sure_of(whole, (2,)), sure_of(cells, (2, 49)))
    assert tokens.shape == (2, SLOTS, HIDDEN)
    assert torch.equal(tokens[:, :3], tower.names[:3, whole].expand(2, -1, -1))
    assert torch.allclose(tokens[:, 3], tower.names[3, cells].expand(2, -1))


@given(st.integers(0, 2**31 - 1))
def test_tokens_lie_between_the_names(tower, seed):
    generator = torch.Generator().manual_seed(seed)
    logits, cells = torch.randn(3, CLASSES, generator=generator), torch.randn(3, 49, CLASSES, generator=generator)
    tokens = tower.read(logits, cells)
    low, high = tower.names.amin(1), tower.names.amax(1)
    assert bool(((tokens >= low - 1e-5) & (tokens <= high + 1e-5)).all())


def test_an_added_concept_is_one_more_class_and_changes_no_other_logit(tower):
    import copy

    own, features = copy.deepcopy(tower), torch.randn(4, 1280)
    row, name = torch.randn(1280), torch.randn(SLOTS, HIDDEN)
    own.add("my mug", row, torch.tensor(0.5), name)
    before, after = tower.logits(features), own.logits(features)
    assert torch.equal(after[:, :CLASSES], before)
    assert torch.allclose(after[:, CLASSES], features @ row + 0.5, atol=1e-4)
    assert own.config.names == [*tower.config.names, "my mug"]


def test_a_new_projector_changes_nothing():
    tokens = torch.randn(2, SLOTS, HIDDEN)
    assert torch.equal(SlotScale(SLOTS, HIDDEN)(tokens), tokens)


def test_a_frame_is_four_tokens_of_the_language_models_space():
    model, processor = build_concepts()
    frames = torch.randint(0, 256, (2, 3, 120, 160), dtype=torch.uint8)
    tokens = model.encode_frames(processor.pixel_values(frames))
    assert [token.shape for token in tokens] == [(SLOTS, model.config.text_config.hidden_size)] * 2
    assert model.config.tokens_per_frame == processor.frame.tokens == SLOTS


def test_features_of_a_frame_are_the_same_in_any_company():
    model, processor = build_concepts()
    pixels = processor.pixel_values(torch.randint(0, 256, (7, 3, 224, 224), dtype=torch.uint8))
    assert torch.equal(model.frame_features(pixels)[:2], model.frame_features(pixels[:2]))


def test_a_tower_of_another_width_than_the_language_model_is_refused(tiny):
    config = {**tiny[0].config.to_dict(), "projector_type": "slots", "pool_stride": 1}
    config["vision_config"] = ConceptConfig(hidden_size=8, concepts=["a"]).to_dict()
    with pytest.raises(CheckpointError, match="width 8"):
        DuetForConditionalGeneration(DuetConfig.from_dict(config))
