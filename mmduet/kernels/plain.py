"""Kernels as torch and transformers have them, for any device."""

from collections.abc import Iterator

import torch

from mmduet.model.duet import ENCODE_AT_ONCE, DuetForConditionalGeneration
from mmduet.model.kv_cache import StreamCache
from mmduet.model.processing import DuetProcessor

FEED_AT_ONCE = 4096  # tokens: of a kept context that is read again; bounds the memory that takes


class Kernels:
    """How a session's model runs: frames -> embeddings, embeddings -> hidden states.

    frames_at_once: in one pass of the vision tower. tokens_at_once: of frames, in one forward of the language model:
    more gain nothing, and what is scored comes later. call_cost: a forward costs about what this many of its tokens
    do, whatever else it does. decode_ahead: batches of frames that pay to be decoded beside the model. pin: whether
    the device copies faster from pinned memory.
    """

    frames_at_once = ENCODE_AT_ONCE
    tokens_at_once = 1500
    call_cost = 48
    decode_ahead = 0
    pin = False

    def __init__(self, model: DuetForConditionalGeneration, processor: DuetProcessor):
        self.model, self.processor = model, processor

    def cache(self) -> StreamCache:
        """An empty one, for the next video; what was given before is no longer used."""
        return StreamCache(self.model.config.text_config)

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, H, W], on any device -> [n, T, H] input embeddings."""
        parts = (some.to(self.model.device, non_blocking=True) for some in frames.split(self.frames_at_once))
        return torch.cat([self._encode(part) for part in parts])

    def _encode(self, frames: torch.Tensor) -> torch.Tensor:
        return self.model.encode_frames(self.processor.pixel_values(frames).to(self.model.dtype))

    def continuation(self, token: int, cache: StreamCache) -> Iterator[int]:
        """The likeliest tokens after `token`, which is not in the cache yet, one from the other, as far as a device
        finds them without being told each: here none. Each enters the cache, and one or two more may have entered it.
        """
        return iter(())

    def hidden(self, embeds: torch.Tensor, cache: StreamCache) -> torch.Tensor:
        """Input embeddings [n, H] of tokens behind those in the cache, which they enter -> hidden states [n, H]."""
        parts = embeds[None].split(FEED_AT_ONCE, 1)
        hidden = [self.model.hidden_states(some, past_key_values=cache, use_cache=True) for some in parts]
        return torch.cat(hidden, 1)[0]
