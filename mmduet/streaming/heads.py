"""ByHeads: two heads score each frame; a response is generated when the policy says so."""

import math
from collections.abc import Iterator
from itertools import accumulate

import torch

from mmduet.events import Event, FrameScores, Response
from mmduet.model.backbone import EmbeddedTokens
from mmduet.model.contract import frame_scores
from mmduet.policy import decided
from mmduet.streaming.decision import Session, decoder_for
from mmduet.streaming.protocol import ContextProtocol
from mmduet.streaming.state import KeptResponse


class ByHeads:
    """The decision of MMDuet: both heads read the hidden state at a frame's last token."""

    def __init__(self, session: Session, protocol: ContextProtocol):
        """Watch for a session, whose context follows `protocol`."""
        self.session, self.protocol = session, protocol

    @property
    def next_frame(self) -> int:
        """As `Decision.next_frame`."""
        return self.session.state.frames

    def watch(self, frames: list[EmbeddedTokens], first: int) -> Iterator[Event]:
        """As `Decision.watch`."""
        session, context = self.session, self.session.context
        session.state.frames = first
        while frames:
            if self._query_is_due():
                context.enter_query(query := session.state.queries.pop(0))
                yield query
            context.make_room()
            scored = 0
            for event in self._score(frames[: self._window()]):
                scored += isinstance(event, FrameScores)
                yield event
            frames = frames[scored:]

    def finish(self) -> Iterator[Event]:
        """As `Decision.finish`: no frame waits."""
        return iter(())

    def _query_is_due(self) -> bool:
        queries = self.session.state.queries
        return bool(queries) and queries[0].time <= self.session.time

    def _window(self) -> int:
        """The number of frames to score next: up to the next query, and no more than the context has room for."""
        session, state = self.session, self.session.state
        frames: float = session.look_ahead.frames()
        if state.queries:
            frames = min(frames, state.queries[0].time * session.frame_fps - state.frames)
        if session.context.room is not None:
            frames = min(frames, session.context.room)
        return max(1, math.ceil(frames))

    def _score(self, frames: list[EmbeddedTokens]) -> Iterator[Event]:
        """Score frames in one forward pass, and yield their events while the scores are valid.

        They are valid up to a query, or the first kept response.
        """
        session, context = self.session, self.session.context
        context.open_stream()
        frames = [context.framed(frame) for frame in frames]
        ends = torch.tensor([*accumulate(map(len, frames))])
        hidden = context.forward(frames)[-int(ends[-1]) :]
        for index, (informative, relevance) in enumerate(frame_scores(session.model, hidden[ends - 1])):
            if index and self._query_is_due():
                return
            scores = FrameScores(session.time, informative, relevance)
            context.enter_frame(frames[index])
            session.state.frames += 1
            yield scores
            speak, kept = decided(session.policy, scores), not session.remove_assistant_turns
            session.look_ahead.saw(response=speak and kept)
            if speak:
                yield self._respond(scores.time, kept=kept)
                if kept:
                    return

    def _respond(self, time: float, *, kept: bool) -> Response:
        session, state = self.session, self.session.state
        start = len(state.context)
        later = [] if kept else state.cache.tail(start)
        response, generated = decoder_for(session).respond(time, self.protocol.response(state))
        if kept:
            session.context.enter_response(KeptResponse(tuple(generated), response.text), start)
        else:
            state.crop(start)
            state.cache.extend(later)  # the later frames of this forward pass, as if nothing had been generated
        state.last = "response"
        return response
