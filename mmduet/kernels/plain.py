"""Kernels as torch and transformers have them, for any device."""

from collections.abc import Iterator

import torch

from mmduet.kernels.kv_cache import StreamCache
from mmduet.model.backbone import Backbone, EmbeddedTokens
from mmduet.model.contract import checked_hidden, embedded_frames
from mmduet.model.duet import ENCODE_AT_ONCE
from mmduet.model.processing import DuetProcessor

FEED_AT_ONCE = 4096  # tokens of a forward pass: bounds the memory where a kept context is read again


class Kernels:
    """How a model runs in a session: frames to embeddings, embeddings to hidden states.

    Attributes:
        frames_at_once: Frames in one pass of the vision tower.
        tokens_at_once: Frame tokens in one forward pass of the language model. More gain nothing, and delay scores.
        call_cost: The fixed cost of a forward pass, in tokens.
        decode_ahead: Batches of frames to decode while the model runs.
        pin: Whether the device copies faster from pinned memory.
    """

    frames_at_once = ENCODE_AT_ONCE
    tokens_at_once = 1500
    call_cost = 48
    decode_ahead = 0
    pin = False

    def __init__(self, model: Backbone, processor: DuetProcessor):
        """Prepare a model for sessions."""
        self.model, self.processor = model, processor

    def cache(self) -> StreamCache:
        """Return an empty cache for the next video; the one returned before is no longer used."""
        return StreamCache(self.model.config.text_config)

    def encode(self, frames: torch.Tensor) -> list[EmbeddedTokens]:
        """Embed frames, uint8 [N, 3, H, W], on any device."""
        parts = (some.to(self.model.device, non_blocking=True) for some in frames.split(self.frames_at_once))
        return [frame for part in parts for frame in self._encode(part)]

    def _encode(self, frames: torch.Tensor) -> list[EmbeddedTokens]:
        return embedded_frames(self.model, self._pixel_values(frames))

    def _pixel_values(self, frames: torch.Tensor) -> torch.Tensor:
        return self.processor.pixel_values(frames).to(self.model.dtype)

    def continuation(self, token: int, cache: StreamCache) -> Iterator[int]:
        """Yield the likeliest tokens after `token`, as far as the device decodes by itself: here none.

        `token` is not in the cache yet. Each token enters the cache, and one or two more may have entered it.
        """
        return iter(())

    def hidden(self, tokens: EmbeddedTokens, cache: StreamCache) -> torch.Tensor:
        """Run the language model on tokens that follow those in the cache, and enter it.

        Returns:
            Hidden states, [n, H].
        """
        hidden = [self._hidden(tokens[at : at + FEED_AT_ONCE], cache) for at in range(0, len(tokens), FEED_AT_ONCE)]
        return torch.cat(hidden)

    def _hidden(self, tokens: EmbeddedTokens, cache: StreamCache) -> torch.Tensor:
        positions = tokens.position_ids
        if positions is not None and len(positions) > 1:
            positions = positions[:, None]  # several axes: [P, B, n]
        hidden = self.model.hidden_states(
            tokens.embeds[None], position_ids=positions, past_key_values=cache, use_cache=True
        )
        return checked_hidden(self.model, hidden, len(tokens))[0]
