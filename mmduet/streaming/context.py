"""Context: what the language model has read of a video, and what it reads next."""

from collections.abc import Iterable, Sequence
from itertools import takewhile

import torch

from mmduet.events import Query
from mmduet.kernels import Kernels
from mmduet.model.backbone import Backbone, EmbeddedTokens
from mmduet.model.processing import DuetProcessor
from mmduet.streaming.protocol import ContextProtocol
from mmduet.streaming.state import KeptResponse, StreamState, Turn, newest_turns
from mmduet.system.stages import stage


class Interrupted(Exception):
    """Another thread stopped the video; `DuetSession.reset` prepares the session for the next one."""


class Context:
    """Enters queries, frames and responses into a `StreamState`, with the tokens that a protocol puts around them."""

    def __init__(
        self,
        model: Backbone,
        processor: DuetProcessor,
        kernels: Kernels,
        protocol: ContextProtocol,
        *,
        frames: int | None,
    ):
        """Start with an empty context.

        Args:
            model: The model.
            processor: The model's processor.
            kernels: How the model runs on its device.
            protocol: Which tokens surround what enters.
            frames: Maximum frames, >= 2, as `context_frames` of `DuetSession`. None: no limit.
        """
        self.model, self.processor, self.kernels, self.protocol = model, processor, kernels, protocol
        self.frames = frames
        self.state = StreamState(cache=kernels.cache())

    @property
    def room(self) -> int | None:
        """The number of frames that the context has room for. None: no limit."""
        return None if self.frames is None else self.frames - self.state.frames_held()

    def make_room(self) -> None:
        """Build a full context again from the newer half of its frames."""
        if self.frames is None or self.room:
            return
        turns = newest_turns(self.state.turns, self.frames // 2)
        self.state.clear_context()
        for turn in turns:
            if isinstance(turn, Query):
                self.enter_query(turn)
            elif isinstance(turn, KeptResponse):
                self.enter_response(turn, len(self.state.context))
            elif isinstance(turn, EmbeddedTokens):
                self.open_stream()
                self.state.pending.append(turn.at(self.state.position))
                self.enter_frame(turn)

    def enter_query(self, query: Query) -> None:
        """Append a query."""
        self.enter(self.protocol.query(self.state, query.text))
        self.state.stream_open, self.state.last = False, "query"
        self._remember(query)

    def open_stream(self) -> None:
        """Append the tokens before a frame, if any."""
        self.enter(self.protocol.frame(self.state))

    def enter_frame(self, frame: EmbeddedTokens) -> None:
        """Append a frame to the context; its embeddings are in the cache, or pending."""
        self._count(frame)
        self.state.stream_open, self.state.last = True, "frame"
        self._remember(frame)

    def enter_response(self, response: KeptResponse, start: int) -> None:
        """Put a response's ids into the context from index `start` on; generated ids that agree stay there."""
        self.enter_instead(self.protocol.kept(self.state, list(response.token_ids), response.text), start)
        self.state.stream_open, self.state.last = False, "response"
        self._remember(response)

    def enter_instead(self, wanted: Sequence[int], start: int) -> None:
        """Replace the context from index `start` on, where no frames are. What agrees stays in the cache."""
        present = zip(self.state.context[start:], wanted, strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], present))
        self.state.crop(start + common)
        self.enter(wanted[common:])

    def framed(self, frame: EmbeddedTokens) -> EmbeddedTokens:
        """Return a frame with the tokens around it; its positions are relative to the first of them."""
        before, after = self.processor.around_frame
        if not before and not after:
            return frame
        parts = (self._text(before, 0), frame.at(len(before)), self._text(after, len(before) + frame.span))
        return EmbeddedTokens.join([part for part in parts if len(part)])

    def append(self, frame: EmbeddedTokens) -> None:
        """Append a `framed` frame to the context; its embeddings are pending."""
        self.state.pending.append(frame.at(self.state.position))
        self._count(frame)

    def _count(self, frame: EmbeddedTokens) -> None:
        self.state.context.extend(self.processor.frame_ids(len(frame) - sum(map(len, self.processor.around_frame))))
        self.state.offset += frame.span - len(frame)

    def _remember(self, turn: Turn) -> None:
        if self.frames is not None:
            self.state.turns.append(turn)

    def enter(self, ids: Sequence[int]) -> None:
        """Append ids to the context; their embeddings are pending."""
        self.state.cache.cut(len(self.state.context))  # frames scored too early no longer follow
        if ids:
            self.state.pending.append(self._text(ids, self.state.position))
            self.state.context.extend(ids)

    def _text(self, ids: Sequence[int], first: int) -> EmbeddedTokens:
        """Ids as the language model reads them, at positions from `first` on."""
        axes, device = self.model.position_axes, self.model.device
        embeds = self.model.get_input_embeddings()(torch.tensor(ids, dtype=torch.long, device=device))
        positions = torch.arange(first, first + len(ids), device=device).expand(axes, len(ids)) if axes else None
        return EmbeddedTokens(embeds, positions)

    def forward(self, frames: Iterable[EmbeddedTokens] = ()) -> torch.Tensor:
        """Feed the pending tokens, then frames, which are not part of the context yet.

        Returns:
            The hidden states of all of them, [n, H].

        Raises:
            Interrupted: Another thread stopped the video.
        """
        if self.state.interrupted:
            raise Interrupted
        pending, self.state.pending = self.state.pending, []
        position = self.state.position
        for frame in frames:
            pending.append(frame.at(position))
            position += frame.span
        with stage("language model"):
            return self.kernels.hidden(EmbeddedTokens.join(pending), self.state.cache)
