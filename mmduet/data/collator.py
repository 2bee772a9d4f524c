"""Collator: training samples -> one padded batch for the model's forward."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from mmduet.data.feature_cache import STORED, FeatureCache
from mmduet.data.mixture import TrainingSample
from mmduet.errors import DuetError
from mmduet.model.losses import IGNORE
from mmduet.model.processing import DuetProcessor
from mmduet.video import read_frames


class Collator:
    """Pads conversations on the right to the longest one, and adds their frames.

    Frames are vision features from the cache, or pixels without a cache. Besides the model's inputs a batch holds
    `samples`, the training samples that it was made of.
    """

    def __init__(self, processor: DuetProcessor, features: FeatureCache | None):
        self.processor, self.features = processor, features

    def __call__(self, samples: Sequence[TrainingSample]) -> dict[str, Any]:
        """Make a batch of training samples."""
        counts: Sequence[list[int] | None] = [None] * len(samples)
        if self.features is None:
            pixels = [self._pixels(sample) for sample in samples]
            counts, frames = [self.processor.frame_counts(video) for video in pixels], self.processor.joined(pixels)
        else:
            frames = {"vision_features": torch.cat([self._features(self.features, sample) for sample in samples])}
        encode = self.processor.encode
        encoded = [encode(s.conversation.turns, frame_tokens=n) for s, n in zip(samples, counts, strict=True)]
        lengths = torch.tensor([len(item.input_ids) for item in encoded])

        def pad(name: str, value: int) -> torch.Tensor:
            return pad_sequence([getattr(item, name) for item in encoded], batch_first=True, padding_value=value)

        return {
            "input_ids": pad("input_ids", self.processor.end_id),
            "attention_mask": (torch.arange(int(lengths.max())) < lengths[:, None]).long(),
            **frames,
            "labels": pad("labels", IGNORE),
            "informative_labels": pad("informative_labels", IGNORE),
            "relevance_labels": pad("relevance_labels", IGNORE),
            "samples": list(samples),
        }

    def _features(self, cache: FeatureCache, sample: TrainingSample) -> torch.Tensor:
        return cache.read(sample.video, sample.fps, sample.conversation.first_frame, sample.conversation.frames)

    def _pixels(self, sample: TrainingSample) -> torch.Tensor:
        size, first = self.processor.frame.fit, sample.conversation.first_frame
        end = first + sample.conversation.frames
        if sample.video.suffix == STORED:
            raise DuetError(f"{sample.video} holds features and no pictures: set `features`, a cache's folder.")
        if end == first:
            return self.processor.pixel_values(torch.empty(0, 3, 1, 1, dtype=torch.uint8))
        frames = read_frames(sample.video, fps=sample.fps, size=size, max_frames=end, rounding="held").frames
        if len(frames) < end:
            raise DuetError(
                f"{sample.video} gives {len(frames)} frames at {sample.fps} per second, {sample.entry} needs {end}: "
                "correct the metadata's duration."
            )
        return self.processor.pixel_values(frames[first:])


def model_inputs(batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The part of a batch that the model's forward takes."""
    return {name: value for name, value in batch.items() if name != "samples"}
