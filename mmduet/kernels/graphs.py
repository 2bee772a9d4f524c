"""Graphs: forwards that are recorded once and launched again as a whole, where launching them costs more than they do.

A graph reads and writes memory at the addresses it was recorded with, so it holds as long as these stay.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

from mmduet.cache import StreamCache
from mmduet.kernels.fixed import MOST_PIECES, FixedContext, pieces_for
from mmduet.model import DuetForConditionalGeneration

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)  # new tokens of a graph: fewer are filled up; more are worth launches
FIRST_ROOM = 4096  # tokens that the buffers hold at least, so that graphs seldom have to be recorded anew
WARM_UP = 2  # runs before the recording, which set up libraries and choose their algorithms

Work = Callable[[], torch.Tensor]
Recorder = Callable[[Work], tuple[Callable[[], None], torch.Tensor]]


def record_cuda(work: Work) -> tuple[Callable[[], None], torch.Tensor]:
    """What launches `work` anew on a CUDA device, and where its result then stands."""
    stream = _stream(torch.cuda.current_device())
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # another thread may use the device meanwhile: a decoder that copies frames, say
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        result = work()
    return graph.replay, result


@cache
def _stream(device: int) -> torch.cuda.Stream:
    """The one that is recorded on: cuBLAS keeps memory for each stream that it has met."""
    return torch.cuda.Stream(device)


@dataclass
class Replay:
    """One recorded forward. inputs: where it reads, of a fixed shape."""

    inputs: torch.Tensor
    launch: Callable[[], None]
    result: torch.Tensor


def replay_of(function: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor, record: Recorder) -> Replay:
    """Record `function` on inputs of this shape."""
    place = inputs.clone()
    return Replay(place, *record(lambda: function(place)))


class Graphs:
    """A language model's recorded forwards over one cache, at most one for each of `SIZES`.

    They are recorded at first use, and anew when the cache has grown or the weights have moved.
    """

    def __init__(self, model: DuetForConditionalGeneration, record: Recorder):
        self.model, self.record = model, record
        self.length = torch.zeros(1, dtype=torch.long, device=model.device)
        self.replays: dict[int, Replay] = {}
        self.addresses: list[int] = []

    def covers(self, tokens: int, cache: StreamCache) -> bool:
        """Whether a graph may run so many new tokens: few, behind a context that can be cut in pieces."""
        return tokens <= SIZES[-1] and cache.length >= MOST_PIECES

    def hidden(self, embeds: torch.Tensor, cache: StreamCache) -> torch.Tensor:
        """Input embeddings [n, H] of tokens behind those in the cache, which they enter -> hidden states [n, H]."""
        new = len(embeds)
        size = next(size for size in SIZES if size >= new)
        cache.reserve(max(cache.length + size, FIRST_ROOM))
        if (addresses := cache.addresses()) != self.addresses:
            self.replays, self.addresses = {}, addresses
        self.length.fill_(cache.length)
        if size not in self.replays:
            self.replays[size] = self._recorded(embeds.new_zeros(size, embeds.shape[1]), cache)
        replay = self.replays[size]
        replay.inputs[:new] = embeds
        if new < size:
            replay.inputs[new:] = 0
        replay.launch()
        cache.advance(new)
        return replay.result[:new].clone()

    def _recorded(self, inputs: torch.Tensor, cache: StreamCache) -> Replay:
        keys, new = cache.buffers(0)[0], len(inputs)
        heads = self.model.config.text_config.num_attention_heads
        pieces = pieces_for(keys.device, keys.dtype, heads=heads, shared=keys.shape[1], size=keys.shape[-1], new=new)

        def forward(embeds: torch.Tensor) -> torch.Tensor:
            context = FixedContext(cache, self.length, new, pieces=pieces)
            positions = context.positions[None]
            return self.model.hidden_states(
                embeds[None], position_ids=positions, past_key_values=context, use_cache=True, context=context
            )[0]

        return replay_of(forward, inputs, self.record)

    def clear(self) -> None:
        """Give the graphs' memory back."""
        self.replays, self.addresses = {}, []
