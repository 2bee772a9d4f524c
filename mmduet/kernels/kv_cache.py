"""StreamCache: the keys and values of a stream, which grows and is cut at its end."""

from typing import Any, cast

import torch
from transformers import Cache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer

from mmduet.errors import CheckpointError

FIRST_CAPACITY = 256  # tokens
ATTENTION = {
    "full_attention",
    "sliding_attention",
}  # a sliding window is a matter of the mask, so a layer may hold more

Tail = list[tuple[torch.Tensor, torch.Tensor]]  # keys and values [1, heads, n, D] of every layer


class GrowingLayer(DynamicLayer):
    """One layer's keys and values, [1, heads, n, D], in buffers that double when they are full.

    Appending copies the new tokens only; cutting copies nothing.
    """

    keys: torch.Tensor
    values: torch.Tensor
    buffers: tuple[torch.Tensor, torch.Tensor]

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Start with buffers of no tokens, with the shape and type of the first states."""
        super().lazy_initialization(key_states, value_states)
        self.keys, self.values = (states[..., :0, :] for states in (key_states, value_states))
        self.buffers = (self.keys, self.values)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append [1, heads, n, D], and return all keys and values as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.keys.shape[-2]
        end = start + key_states.shape[-2]
        self.reserve(end)
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[..., start:end, :] = states
        self.hold(end)
        return self.keys, self.values

    def hold(self, length: int) -> None:
        """Declare the buffers' first `length` tokens valid."""
        self.keys, self.values = (buffer[..., :length, :] for buffer in self.buffers)

    def reserve(self, tokens: int) -> None:
        """Make room for a total of `tokens`."""
        if tokens > self.buffers[0].shape[-2]:
            self.buffers = (self._grown(self.keys, tokens), self._grown(self.values, tokens))
            self.hold(self.keys.shape[-2])

    def _grown(self, held: torch.Tensor, tokens: int) -> torch.Tensor:
        capacity = max(tokens, 2 * held.shape[-2], FIRST_CAPACITY)
        # zeros: a graph multiplies masked entries by 0, and NaN in uninitialised memory would stay NaN
        buffer = held.new_zeros(*held.shape[:-2], capacity, held.shape[-1])
        buffer[..., : held.shape[-2], :] = held
        return buffer


class StreamCache(Cache):
    """A cache of GrowingLayers."""

    def __init__(self, config: PreTrainedConfig):
        """Make an empty cache for a language model.

        Raises:
            CheckpointError: The model has layers that cannot be cut back, such as linear attention.
        """
        super().__init__(layer_class_to_replicate=GrowingLayer)
        others = set(getattr(config, "layer_types", None) or []) - ATTENTION
        if others:
            raise CheckpointError(
                f"language model {config.model_type!r} has layers of {', '.join(sorted(others))}, which cannot be cut "
                "back to an earlier token: use one with full or sliding attention."
            )

    def _grown(self) -> list[GrowingLayer]:
        return cast(list[GrowingLayer], self.layers)

    @property
    def length(self) -> int:
        """The number of valid tokens."""
        return self.get_seq_length()

    @property
    def capacity(self) -> int:
        """The number of tokens that the buffers have room for."""
        return self._grown()[0].buffers[0].shape[-2] if self.layers else 0

    @property
    def bytes(self) -> int:
        """The memory of the buffers."""
        return sum(buffer.nbytes for layer in self._grown() for buffer in layer.buffers)

    def buffers(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a layer's keys and values, [1, heads, capacity, D]."""
        return self._grown()[layer].buffers

    def addresses(self) -> list[int]:
        """Return the buffers' addresses, which stay the same until they grow."""
        return [buffer.data_ptr() for layer in self._grown() for buffer in layer.buffers]

    def reserve(self, tokens: int) -> None:
        """Make room for a total of `tokens`."""
        for layer in self._grown():
            layer.reserve(tokens)

    def advance(self, tokens: int) -> None:
        """Declare `tokens` more tokens valid, which were written directly into the buffers."""
        length = self.length + tokens
        for layer in self._grown():
            layer.hold(length)

    @torch.inference_mode()
    def empty(self) -> None:
        """Drop all tokens, and keep the buffers."""
        self.cut(0)
        for layer in self._grown():
            for buffer in layer.buffers:
                buffer.zero_()

    def cut(self, length: int) -> None:
        """Keep the first `length` tokens."""
        if length < self.length:
            self.crop(length - self.length)  # negative: that many from the end

    def tail(self, start: int) -> Tail:
        """Copy the tokens from `start` on, for `extend`."""
        return [(layer.keys[..., start:, :].clone(), layer.values[..., start:, :].clone()) for layer in self._grown()]

    def extend(self, tail: Tail) -> None:
        """Append a tail again, at the position it was taken from."""
        for layer, (keys, values) in zip(self._grown(), tail, strict=True):
            layer.update(keys, values)
