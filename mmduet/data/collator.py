"""Collator: training examples -> one padded batch for the model's forward."""

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

from mmduet.data.features import FeatureStore
from mmduet.data.mixture import Example
from mmduet.model import IGNORE
from mmduet.processing import DuetProcessor


class Collator:
    """Right-pads to the longest conversation; frames come as stored vision features."""

    def __init__(self, processor: DuetProcessor, features: FeatureStore):
        self.processor, self.features = processor, features

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        encoded = [self.processor.encode(example.conversation.turns) for example in examples]
        lengths = torch.tensor([len(item.input_ids) for item in encoded])

        def pad(name: str, value: int) -> torch.Tensor:
            return pad_sequence([getattr(item, name) for item in encoded], batch_first=True, padding_value=value)

        return {
            "input_ids": pad("input_ids", self.processor.end_id),
            "attention_mask": (torch.arange(int(lengths.max())) < lengths[:, None]).long(),
            "vision_features": torch.cat([self._features(example) for example in examples]),
            "labels": pad("labels", IGNORE),
            "informative_labels": pad("informative_labels", IGNORE),
            "relevance_labels": pad("relevance_labels", IGNORE),
        }

    def _features(self, example: Example) -> torch.Tensor:
        conversation = example.conversation
        return self.features.read(example.video, example.fps, conversation.first_frame, conversation.frames)
