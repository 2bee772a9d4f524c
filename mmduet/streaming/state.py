"""StreamState: everything a session remembers of the video it watches."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from mmduet.events import Query
from mmduet.kernels.kv_cache import StreamCache, Tail
from mmduet.model.backbone import EmbeddedTokens


@dataclass(frozen=True, slots=True)
class KeptResponse:
    """A response that stays in the context.

    Attributes:
        token_ids: The generated ids, with the end token where it was generated.
        text: The ids as text.
    """

    token_ids: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A user's turn of a model that decides in words: frames, and the queries asked while they were seen.

    Attributes:
        frames: The frames, with the tokens around each.
        end: The index of the next frame in the video.
        queries: The queries; their text follows the frames.
        answered: Whether the model answers.
        must_reply: Whether the answer may not be silence.
    """

    frames: tuple[EmbeddedTokens, ...]
    end: int
    queries: tuple[Query, ...] = ()
    answered: bool = True
    must_reply: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the context that `StreamState.rewind` goes back to."""

    length: int
    offset: int


@dataclass(frozen=True, slots=True)
class Later:
    """The part of a context after a `Mark`."""

    ids: list[int]
    offset: int
    tail: Tail


Turn = Query | KeptResponse | EmbeddedTokens | Piece  # EmbeddedTokens: one frame


@dataclass(slots=True)
class StreamState:
    """The context, its cache, and what the session has yet to do.

    Attributes:
        cache: Keys and values of the context's first tokens. During multi-frame scoring it holds more than the
            context.
        context: The ids so far, in order; an image token for each embedding of a frame.
        pending: The rest of the context: embeddings that enter the cache with the next forward pass.
        offset: The next token's position minus its index in the context.
        turns: The turns after the system turn. Kept only where old frames will be dropped.
        generated: The different token ids generated so far, for the repetition penalty.
        previous_response: The generated ids of the last response.
        queries: Queries whose time has not come.
        stream_open: Whether the context ends inside a stream turn.
        last: What entered the context last.
        deferred: A token that enters with the next frame.
        frames: The index of the next frame in the video.
        interrupted: Whether the session was asked to stop.
    """

    cache: StreamCache
    context: list[int] = field(default_factory=list)
    pending: list[EmbeddedTokens] = field(default_factory=list)
    offset: int = 0
    turns: list[Turn] = field(default_factory=list)
    generated: set[int] = field(default_factory=set)
    previous_response: list[int] = field(default_factory=list)
    queries: list[Query] = field(default_factory=list)
    stream_open: bool = False
    last: Literal["", "query", "frame", "response"] = ""
    deferred: list[int] = field(default_factory=list)
    frames: int = 0
    interrupted: bool = False

    @property
    def position(self) -> int:
        """The position of the next token."""
        return len(self.context) + self.offset

    def crop(self, length: int) -> None:
        """Drop the context's tokens from index `length` on. Frames are never among them: see `rewind`."""
        if self.pending and length < len(self.context):
            self.pending = [EmbeddedTokens.join(self.pending)[: max(0, length - self.cache.length)]]
        self.cache.cut(length)
        del self.context[length:]

    def mark(self) -> Mark:
        """Return the present end of the context."""
        return Mark(len(self.context), self.offset)

    def after(self, mark: Mark) -> Later:
        """Copy what is after a mark, for `put_back`. Nothing may be pending."""
        return Later(self.context[mark.length :], self.offset, self.cache.tail(mark.length))

    def put_back(self, later: Later) -> None:
        """Append what was after a mark to the context that ends there."""
        self.context += later.ids
        self.offset = later.offset
        self.cache.extend(later.tail)

    def rewind(self, mark: Mark) -> None:
        """Drop everything after a mark, frames included."""
        self.crop(mark.length)
        self.offset = mark.offset

    def frames_held(self) -> int:
        """Return the number of frames among `turns`."""
        return sum(frames_of(turn) for turn in self.turns)

    def clear_context(self) -> None:
        """Drop all turns; the video continues."""
        self.cache.cut(0)
        self.context, self.pending, self.turns, self.deferred, self.offset = [], [], [], [], 0
        self.stream_open, self.last = False, ""


def frames_of(turn: Turn) -> int:
    """Return the number of frames of a turn."""
    return len(turn.frames) if isinstance(turn, Piece) else int(isinstance(turn, EmbeddedTokens))


def newest_turns(turns: Sequence[Turn], frames: int) -> list[Turn]:
    """Return the last `frames` frames, the queries and responses since the first of them, and the latest query before.

    Args:
        turns: Turns in order.
        frames: At least 1.
    """
    places = [place for place, turn in enumerate(turns) if isinstance(turn, EmbeddedTokens)]
    start = places[-frames] if frames <= len(places) else 0
    asked = [turn for turn in turns[:start] if isinstance(turn, Query)]
    return [*asked[-1:], *turns[start:]]
