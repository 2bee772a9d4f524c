"""Graphs: forwards that are recorded once and launched again as a whole, where launching them costs more than they do.

A graph reads and writes memory at the addresses it was recorded with, so it holds as long as these stay.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache as kept
from functools import partial

import torch

from mmduet.kernels.fixed import MOST_PIECES, FixedContext, pieces_for
from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.model.kv_cache import StreamCache

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


@kept
def _stream(device: int) -> torch.cuda.Stream:
    """The one that is recorded on: cuBLAS keeps memory for each stream that it has met."""
    return torch.cuda.Stream(device)


def on(device: torch.device) -> AbstractContextManager:
    """Within, graphs are recorded and launched on this CUDA device, of several."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


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


class Sent:
    """A whole number on its way from the device, which is not waited for before it is read."""

    def __init__(self, value: torch.Tensor):
        self.value = value.to("cpu", non_blocking=True, copy=True)
        self.arrived = torch.cuda.current_stream().record_event() if value.is_cuda else None

    def read(self) -> int:
        """Wait for it."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return int(self.value)


class Graphs:
    """A language model's recorded forwards over one cache: at most one for each of `SIZES`, and a step of generation.

    They are recorded at first use, and anew when the cache has grown or the weights have moved.
    """

    def __init__(self, model: DuetForConditionalGeneration, record: Recorder):
        self.model, self.record = model, record
        self.length, self.token = (torch.zeros(1, dtype=torch.long, device=model.device) for _ in range(2))
        self.replays: dict[int, Replay] = {}
        self.step: Callable[[], None] | None = None
        self.addresses: list[int] = []

    def covers(self, tokens: int, cache: StreamCache) -> bool:
        """Whether a graph may run so many new tokens: few, behind a context that can be cut in pieces."""
        return tokens <= SIZES[-1] and cache.length >= MOST_PIECES

    def hidden(self, embeds: torch.Tensor, cache: StreamCache) -> torch.Tensor:
        """Input embeddings [n, H] of tokens behind those in the cache, which they enter -> hidden states [n, H]."""
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
        """The likeliest tokens after `token`, each entering the cache.

        A step finds its token where the one before left it, so it is launched before that one's is read: the device
        never waits for this process. One step more has run, or is running, when the last token that is asked for comes.
        """
        self.token.fill_(token)
        coming = self._next(cache)
        while True:
            following = self._next(cache)
            yield coming.read()
            coming = following

    def _next(self, cache: StreamCache) -> Sent:
        """Launch one step; its token stays in `self.token`."""
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
        """Room for new tokens behind the cache's; graphs of where it stood before are dropped."""
        cache.reserve(max(cache.length + new, FIRST_ROOM))
        if (addresses := cache.addresses()) != self.addresses:
            self.clear()
            self.addresses = addresses
        self.length.fill_(cache.length)

    def _forward(self, embeds: torch.Tensor, cache: StreamCache) -> torch.Tensor:
        """[n, H] -> [n, H], at the positions from `self.length` on."""
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
        """Give the graphs' memory back."""
        self.replays, self.step, self.addresses = {}, None, []
