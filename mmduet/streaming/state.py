"""StreamState: everything a session remembers of the video it watches."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from mmduet.model.kv_cache import StreamCache
from mmduet.trace import Query


@dataclass(frozen=True, slots=True)
class Said:
    """A response that stays in the context. token_ids: as generated, with the closing token if it was said."""

    token_ids: tuple[int, ...]
    text: str


Turn = Query | Said | torch.Tensor  # a tensor: one frame's input embeddings, [T, H]


@dataclass(slots=True)
class StreamState:
    """context: the ids so far, in order, an image token for each feature of a frame.

    cache: holds the context's first tokens; `waiting`, input embeddings [n, H], are the rest, which enter with the
    next forward. While frames are looked ahead at, the cache holds more than the context.
    turns: what the context was made of after the system turn, kept only where frames are to leave again.
    generated: the different tokens said so far (for the repetition penalty). said_before: the last response's.
    pending: queries whose time has not come.
    stream_open: whether the context ends inside a stream turn. last: what came last. carry: a token that waits for
    the next frame. frames: the next frame's number, counted from the video's start. interrupted: nothing more is fed.
    """

    cache: StreamCache
    context: list[int] = field(default_factory=list)
    waiting: list[torch.Tensor] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    generated: set[int] = field(default_factory=set)
    said_before: list[int] = field(default_factory=list)
    pending: list[Query] = field(default_factory=list)
    stream_open: bool = False
    last: Literal["", "query", "frame", "response"] = ""
    carry: list[int] = field(default_factory=list)
    frames: int = 0
    interrupted: bool = False

    def crop(self, length: int) -> None:
        """Forget the context from position `length` on."""
        if self.waiting and length < len(self.context):
            self.waiting = [torch.cat(self.waiting)[: max(0, length - self.cache.length)]]
        self.cache.cut(length)
        del self.context[length:]

    def frames_held(self) -> int:
        """Frames among `turns`."""
        return sum(isinstance(turn, torch.Tensor) for turn in self.turns)

    def clear_context(self) -> None:
        """Forget all turns; the video goes on."""
        self.cache.cut(0)
        self.context, self.waiting, self.turns, self.carry = [], [], [], []
        self.stream_open, self.last = False, ""


def newest_turns(turns: Sequence[Turn], frames: int) -> list[Turn]:
    """The last `frames` frames (at least 1) with all that was asked and said since the first of them, and before them
    the question that was open then.
    """
    places = [place for place, turn in enumerate(turns) if isinstance(turn, torch.Tensor)]
    start = places[-frames] if frames <= len(places) else 0
    asked = [turn for turn in turns[:start] if isinstance(turn, Query)]
    return [*asked[-1:], *turns[start:]]
