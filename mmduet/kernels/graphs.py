"""Graphs: forward passes that are recorded once and launched again as a whole.

They pay where launching the operations costs more than running them. A graph reads and writes memory at the addresses
it was recorded with, so it is valid while these stay the same.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache as kept
from functools import partial
from typing import Any

import torch

from mmduet.kernels.fixed import MOST_PIECES, FixedContext, pieces_for
from mmduet.kernels.kv_cache import StreamCache
from mmduet.model.backbone import Backbone

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)  # new tokens of a graph; fewer are filled up, more run without a graph
FIRST_ROOM = 4096  # tokens that the buffers hold at least, so that graphs are seldom recorded again
WARM_UP = 2  # runs before the recording: libraries initialise and choose their algorithms

Work = Callable[[], torch.Tensor]
Recorder = Callable[[Work], tuple[Callable[[], None], torch.Tensor]]


def record_cuda(work: Work) -> tuple[Callable[[], None], torch.Tensor]:
    """Record `work` on a CUDA device.

    Returns:
        A function that runs it again, and the tensor that then holds its result.
    """
    stream = _stream(torch.cuda.current_device())
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # another thread may use the device meanwhile, for instance a decoder that copies frames
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        result = work()
    return graph.replay, result


@kept
def _stream(device: int) -> torch.cuda.Stream:
    """The stream of all recordings: cuBLAS allocates memory for each stream that it sees."""
    return torch.cuda.Stream(device)


def on(device: torch.device) -> AbstractContextManager[Any]:
    """Make a CUDA device the current one, where there are several."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@dataclass
class Replay:
    """A recorded forward pass. It reads `inputs`, of a fixed shape, and writes `result`."""

    inputs: torch.Tensor
    launch: Callable[[], None]
    result: torch.Tensor


def replay_of(function: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor, record: Recorder) -> Replay:
    """Record a function on inputs of this shape."""
    place = inputs.clone()
    return Replay(place, *record(lambda: function(place)))


class Sent:
    """An integer that is copied from the device; only `read` waits for it."""

    def __init__(self, value: torch.Tensor):
        """Start the copy."""
        self.value = value.to("cpu", non_blocking=True, copy=True)
        self.arrived = torch.cuda.current_stream().record_event() if value.is_cuda else None

    def read(self) -> int:
        """Wait for the integer, and return it."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return int(self.value)


class Graphs:
    """A language model's recorded forward passes over one cache: one for each of `SIZES`, and a step of generation.

    They are recorded at first use, and again after the cache has grown or the weights have moved.
    """

    def __init__(self, model: Backbone, record: Recorder):
        """Prepare; nothing is recorded yet."""
        self.model, self.record = model, record
        self.length, self.token = (torch.zeros(1, dtype=torch.long, device=model.device) for _ in range(2))
        self.replays: dict[int, Replay] = {}
        self.step: Callable[[], None] | None = None
        self.addresses: list[int] = []

    def covers(self, tokens: int, cache: StreamCache) -> bool:
        """Whether a graph can run so many new tokens: few of them, after a context that can be cut in pieces."""
        return tokens <= SIZES[-1] and cache.length >= MOST_PIECES

    def hidden(self, embeds: torch.Tensor, cache: StreamCache) -> torch.Tensor:
        """Run tokens with input embeddings [n, H] that follow those in the cache, and enter it. Returns [n, H]."""
        new = len(embeds)
        size = next(size for size in SIZES if size >= new)
        with on(self.length.device):
            replay = self._replay(size, embeds, cache)
            replay.inputs[:new] = embeds
            if new < size:
                replay.inputs[new:] = 0
            replay.launch()
            cache.advance(new)
            return replay.result[:new].clone()

    def _replay(self, size: int, embeds: torch.Tensor, cache: StreamCache) -> Replay:
        self._prepare(cache, size)
        if size not in self.replays:
            forward = partial(self._forward, cache=cache)
            self.replays[size] = replay_of(forward, embeds.new_zeros(size, embeds.shape[1]), self.record)
        return self.replays[size]

    def continuation(self, token: int, cache: StreamCache) -> Iterator[int]:
        """Yield the likeliest tokens after `token`; each enters the cache.

        A step reads its token where the step before wrote it, so it is launched before that token reaches the host, and
        the device never waits. When the last token is taken, one more step has run or is running.
        """
        self.token.fill_(token)
        coming = self._next(cache)
        while True:
            following = self._next(cache)
            yield coming.read()
            coming = following

    def _next(self, cache: StreamCache) -> Sent:
        """Launch one step; `self.token` then holds its token."""
        with on(self.length.device):
            self._prepare(cache, 1)
            if self.step is None:
                token = self.token.clone()
                self.step, _ = self.record(partial(self._step, cache=cache))  # runs it, too
                self.token.copy_(token)
            self.step()
            cache.advance(1)
            return Sent(self.token)

    def _step(self, cache: StreamCache) -> torch.Tensor:
        hidden = self._forward(self.model.get_input_embeddings()(self.token), cache)
        return self.token.copy_(self.model.vocabulary_logits(hidden).float().argmax(-1))

    def _prepare(self, cache: StreamCache, new: int) -> None:
        """Make room in the cache; drop the graphs if its buffers have moved."""
        cache.reserve(max(cache.length + new, FIRST_ROOM))
        if (addresses := cache.addresses()) != self.addresses:
            self.clear()
            self.addresses = addresses
        self.length.fill_(cache.length)

    def _forward(self, embeds: torch.Tensor, cache: StreamCache) -> torch.Tensor:
        """Run [n, H] embeddings at the positions from `self.length` on. Returns [n, H]."""
        keys, new = cache.buffers(0)[0], len(embeds)
        heads = self.model.config.text_config.num_attention_heads
        pieces = pieces_for(keys.device, keys.dtype, heads=heads, shared=keys.shape[1], size=keys.shape[-1], new=new)
        context = FixedContext(cache, self.length, new, heads=heads, pieces=pieces)
        return self.model.hidden_states(
            embeds[None],
            position_ids=context.positions[None],
            past_key_values=context,
            use_cache=True,
            context=context,
        )[0]

    def clear(self) -> None:
        """Drop all graphs, which frees their memory."""
        self.replays, self.step, self.addresses = {}, None, []
