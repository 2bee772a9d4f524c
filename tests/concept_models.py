"""A duet model with the real tower with names, and a tiny language model of random weights."""

import functools

import torch

from mmduet.checkpoints import build_tiny
from mmduet.checkpoints.concepts import concept_config, fill_tower
from mmduet.model.duet import DuetConfig, DuetForConditionalGeneration
from mmduet.model.frame_settings import FrameSettings
from mmduet.model.processing import DuetProcessor
from mmduet.vision.concepts import ConceptTower


@functools.cache
def real_tower() -> ConceptTower:
    """ImageNet's tower and classifier with the photographs' rows; names in the tiny model's embeddings."""
    tiny, processor = build_tiny()
    tower = ConceptTower(concept_config(tiny.config.text_config.hidden_size)).eval()
    fill_tower(tower, _cropping(processor), tiny.get_input_embeddings().weight)
    return tower


def _cropping(processor: DuetProcessor) -> DuetProcessor:
    return DuetProcessor(processor.tokenizer, FrameSettings(size=224, tokens=4, crop=True))


def build_concepts() -> tuple[DuetForConditionalGeneration, DuetProcessor]:
    """A model of its own each time."""
    tiny, processor = build_tiny()
    text = tiny.config.text_config
    config = DuetConfig(
        text_config=text, vision_config=concept_config(text.hidden_size), image_token_id=processor.image_id,
        projector_type="slots", pool_stride=1, tie_word_embeddings=True, initializer_range=0.2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DuetForConditionalGeneration(config)
    model.language_model.load_state_dict(tiny.language_model.state_dict())
    model.vision_tower.load_state_dict(real_tower().state_dict())
    return model.eval(), _cropping(processor)
