"""A backbone of one's own: a ViT that drops flat patches, so that frames differ in tokens.

A kept patch keeps the position of its cell. Run from the folder of this file:

    mmduet predict charades_sta --model own_backbone:SPARSE --references GOLD.json --videos FOLDER --output OUT.jsonl
    mmduet evaluate charades_sta --predictions OUT.jsonl --references GOLD.json
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from mmduet import DuetConfig, DuetForConditionalGeneration, DuetProcessor, load_processor
from mmduet.checkpoints import Preset
from mmduet.model.processing import FrameSettings

FLAT = 0.1  # a patch whose pixel values deviate less carries no information


class SparseModel(DuetForConditionalGeneration):
    """MMDuet's model without the pooling: each frame has as many tokens as patches that are not flat."""

    position_axes = 1

    def encode_frames(self, pixel_values: torch.Tensor) -> Sequence[torch.Tensor]:
        """Embed the kept patches of each frame, [T_i, H]."""
        features = self.vision_tower(pixel_values)
        return [self.projector(frame[kept]) for frame, kept in zip(features, self.kept(pixel_values), strict=True)]

    def frame_position_ids(self, pixel_values: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the cell numbers of the kept patches, [1, T_i]."""
        return [kept[None] for kept in self.kept(pixel_values)]

    def kept(self, pixel_values: torch.Tensor) -> list[torch.Tensor]:
        """Return the patches that are not flat, at least one a frame."""
        size = self.config.vision_config.patch_size
        patches = F.unfold(pixel_values, size, stride=size).unflatten(1, (3, size**2))  # [N, 3, pixels, cells]
        deviation = patches.std(2).amax(1)
        return [(frame >= min(FLAT, frame.max())).nonzero()[:, 0] for frame in deviation]


def build(seed: int = 0) -> tuple[SparseModel, DuetProcessor]:
    """Build a small model with random weights; yours would load its own."""
    tokenizer = load_processor("tiny").tokenizer
    text = {"model_type": "llama", "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128}
    text |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.2}
    vision = {"model_type": "siglip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    vision |= {"num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    image = tokenizer.convert_tokens_to_ids("<image>")
    torch.manual_seed(seed)
    model = SparseModel(DuetConfig(text_config=text, vision_config=vision, image_token_id=image))
    # 16 patches at most; each channel has its own mean
    return model, DuetProcessor(tokenizer, FrameSettings(size=32, tokens=16, mean=(0.48, 0.46, 0.41), std=0.27))


SPARSE = Preset("a ViT that drops flat patches", build)
