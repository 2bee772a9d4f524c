"""Kernels of a CUDA device: the flash kernel on keys that are not repeated, and graphs for short forward passes."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from mmduet.kernels.attention import NAME, use_split_attention
from mmduet.kernels.graphs import Graphs, Recorder, Replay, Work, on, record_cuda, replay_of
from mmduet.kernels.kv_cache import StreamCache
from mmduet.kernels.norms import fused, rms_norms
from mmduet.kernels.plain import Kernels
from mmduet.model.backbone import Backbone, EmbeddedTokens
from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor

LENGTHS_MATTER = {"dynamic", "longrope"}  # rotary positions whose frequencies the host chooses by the length


class CudaKernels(Kernels):
    """The sizes were measured on an H100 with a 7B-shaped model in bfloat16 (`perf/streaming.py gpu`)."""

    frames_at_once = 30
    tokens_at_once = 3000
    call_cost = 300
    decode_ahead = 2
    pin = True

    def __init__(self, model: Backbone, processor: DuetProcessor, *, record: Recorder | None = record_cuda):
        """Prepare a model for sessions.

        Args:
            model: The model, on a CUDA device.
            processor: The model's processor.
            record: How graphs are recorded. None: no graph is recorded.
        """
        super().__init__(model, processor)
        use_split_attention(model)
        self.norms = rms_norms(model.language_model.base_model)
        self.record = partial(_with_norms, self.norms, record) if record is not None and is_whole(model) else None
        self.kept = super().cache()
        self.graphs = Graphs(model, self.record) if self.record and can_be_recorded(model) else None
        self.live: Replay | None = None
        self.weights: list[int] = []

    def cache(self) -> StreamCache:
        """As `Kernels.cache`; it is the same cache each time, since graphs hold the addresses of its buffers."""
        weights = [weight.data_ptr() for weight in self.model.parameters()]
        if weights != self.weights:
            self.weights, self.live = weights, None
            if self.graphs:
                self.graphs.clear()
        self.kept.empty()
        return self.kept

    def encode(self, frames: torch.Tensor) -> list[EmbeddedTokens]:
        """As `Kernels.encode`; a single frame, as a camera sends it, runs as a graph."""
        size = self.processor.frame.size
        if self.record is None or frames.shape != (1, 3, size, size) or not has_equal_frames(self.model):
            return super().encode(frames)
        with on(self.model.device):
            frame = frames.to(self.model.device, non_blocking=True)
            if self.live is None:
                self.live = replay_of(self._encode_one, frame, self.record)
            self.live.inputs.copy_(frame)
            self.live.launch()
            return [EmbeddedTokens(self.live.result.clone())]

    def _encode_one(self, frame: torch.Tensor) -> torch.Tensor:
        return self.model.encode_frames(self._pixel_values(frame))[0]

    def hidden(self, tokens: EmbeddedTokens, cache: StreamCache) -> torch.Tensor:
        """As `Kernels.hidden`."""
        if self.graphs and self.graphs.covers(len(tokens), cache):
            return self.graphs.hidden(tokens.embeds, cache)
        with fused(self.norms):
            return super().hidden(tokens, cache)

    def continuation(self, token: int, cache: StreamCache) -> Iterator[int]:
        """As `Kernels.continuation`; with graphs it never ends."""
        if self.graphs and self.graphs.covers(1, cache):
            return self.graphs.continuation(token, cache)
        return super().continuation(token, cache)


def _with_norms(norms: Sequence[Any], record: Recorder, work: Work) -> tuple[Callable[[], None], torch.Tensor]:
    with fused(norms):
        return record(work)


def is_whole(model: Backbone) -> bool:
    """Whether the model is on one device, as a graph is."""
    return len({weight.device for weight in model.parameters()}) == 1


def has_equal_frames(model: Backbone) -> bool:
    """Whether every frame has as many tokens, as MMDuet's own have: a graph's results have a fixed shape."""
    return type(model).encode_frames is DuetForConditionalGeneration.encode_frames


def can_be_recorded(model: Backbone) -> bool:
    """Whether the language model's forward pass can be a graph.

    Every layer attends to all tokens before, through our attention; positions are counted up by one; and the host reads
    no result during the pass.
    """
    if model.position_axes:
        return False
    language_model = model.language_model
    config = language_model.config
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    rotary = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    plain = config._attn_implementation == NAME and not getattr(config, "attn_logit_softcapping", None)
    sees_all = layers == {"full_attention"} and not getattr(config, "sliding_window", None)
    fixed = getattr(language_model, "_can_compile_fullgraph", False)
    return plain and sees_all and fixed and rotary not in LENGTHS_MATTER
