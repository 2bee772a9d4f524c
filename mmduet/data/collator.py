"""Collator: training examples -> one padded batch for the model's forward."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from mmduet.data.feature_cache import FeatureStore
from mmduet.data.mixture import Example
from mmduet.errors import DuetError
from mmduet.model.losses import IGNORE
from mmduet.model.processing import DuetProcessor
from mmduet.video import read_frames


class Collator:
    """Right-pads to the longest conversation; frames come as stored vision features, or without a store as pixels.

    Beside the model's inputs a batch holds `examples`, what it was made of.
    """

    def __init__(self, processor: DuetProcessor, features: FeatureStore | None):
        self.processor, self.features = processor, features

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        encoded = [self.processor.encode(example.conversation.turns) for example in examples]
        lengths = torch.tensor([len(item.input_ids) for item in encoded])

        def pad(name: str, value: int) -> torch.Tensor:
            return pad_sequence([getattr(item, name) for item in encoded], batch_first=True, padding_value=value)

        return {
            "input_ids": pad("input_ids", self.processor.end_id),
            "attention_mask": (torch.arange(int(lengths.max())) < lengths[:, None]).long(),
            **self._frames(examples),
            "labels": pad("labels", IGNORE),
            "informative_labels": pad("informative_labels", IGNORE),
            "relevance_labels": pad("relevance_labels", IGNORE),
            "examples": list(examples),
        }

    def _frames(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        if self.features is None:
            return {"pixel_values": torch.cat([self._pixels(example) for example in examples])}
        features = [
            self.features.read(
                example.video, example.fps, example.conversation.first_frame, example.conversation.frames
            )
            for example in examples
        ]
        return {"vision_features": torch.cat(features)}

    def _pixels(self, example: Example) -> torch.Tensor:
        size, first = self.processor.frame.size, example.conversation.first_frame
        end = first + example.conversation.frames
        if end == first:
            return torch.empty(0, 3, size, size)
        frames = read_frames(example.video, fps=example.fps, size=size, max_frames=end, rounding="ceil").frames
        if len(frames) < end:
            raise DuetError(
                f"{example.video} gives {len(frames)} frames at {example.fps} a second, {example.entry} speaks of "
                f"{end}: correct the metadata's duration."
            )
        return self.processor.pixel_values(frames[first:])


def model_inputs(batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """What of a batch the model's forward takes."""
    return {name: value for name, value in batch.items() if name != "examples"}
