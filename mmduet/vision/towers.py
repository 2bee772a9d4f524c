"""Vision towers: pixel values to a square grid of features.

A tower is any module with ``forward(pixel_values [N, 3, S, S]) -> [N, side * side, D]``, row by row.
"""

from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedConfig, SiglipVisionConfig, SiglipVisionModel

from mmduet.errors import CheckpointError
from mmduet.vision.concepts import ConceptConfig, ConceptTower
from mmduet.vision.efficientnet import EfficientNetLiteConfig, EfficientNetLiteTower


class SiglipTower(nn.Module):
    """SigLIP up to the last layer of its config, without the final layer norm and the pooling head.

    The published model uses the 26th of 27 layers: its config here has 26.
    """

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        config.vision_use_head = False
        self.model = SiglipVisionModel(config)
        self.model.post_layernorm = cast(Any, nn.Identity())  # not used: no weights to load or train

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Turn [N, 3, S, S] pixel values into [N, side * side, D] features."""
        # a convolution spreads a cell's features in memory, which slows every sum of the layers
        embeds = self.model.embeddings(pixel_values).contiguous()
        return self.model.encoder(inputs_embeds=embeds).last_hidden_state


TOWERS: dict[str, Any] = {
    "siglip_vision_model": SiglipTower,
    EfficientNetLiteConfig.model_type: EfficientNetLiteTower,
    ConceptConfig.model_type: ConceptTower,
}


def build_vision_tower(config: PreTrainedConfig) -> nn.Module:
    """Build the tower of a vision config.

    Raises:
        CheckpointError: The config's model_type is not known.
    """
    if config.model_type not in TOWERS:
        raise CheckpointError(f"vision tower {config.model_type!r} is not known; known are {sorted(TOWERS)}.")
    return TOWERS[config.model_type](config)
