"""Protocols: which tokens stand around frames, queries and responses in a streaming context.

A protocol is asked before each thing is fed, and says what to feed first. It changes nothing but
`StreamState.carry`; the engine does the rest.
"""

from typing import Protocol

from mmduet.model.processing import DuetProcessor
from mmduet.model.prompt import IM_END, JOIN, open_turn
from mmduet.streaming.state import StreamState


class ContextProtocol(Protocol):
    """What stands around frames, queries and responses."""

    def query(self, state: StreamState, text: str) -> list[int]:
        """The ids of a query, with all that goes before and after it."""
        ...

    def frame(self, state: StreamState) -> list[int]:
        """The ids to feed before a frame's. None stand between two frames that follow one another."""
        ...

    def response(self, state: StreamState) -> list[int]:
        """The ids to feed before the first word of a response."""
        ...

    def kept(self, state: StreamState, said: list[int], text: str) -> list[int]:
        """What a response leaves in the context, its header included.

        said: the tokens, with the closing one if it was said.
        """
        ...


class TrainingProtocol:
    """The context is always the training prompt's rendering of the conversation so far.

    What was generated need not be how the tokenizer spells it: a kept response is fed as training would have
    spelled it.
    """

    def __init__(self, processor: DuetProcessor):
        self.ids = processor.ids
        self.system = processor.render_turn(processor.system_turn())

    def query(self, state: StreamState, text: str) -> list[int]:
        return self.ids(self._next_turn(state) + open_turn("user") + text + IM_END)

    def frame(self, state: StreamState) -> list[int]:
        return [] if state.stream_open else self.ids(self._next_turn(state) + open_turn("stream"))

    def response(self, state: StreamState) -> list[int]:
        return self.ids(self._next_turn(state) + open_turn("assistant"))

    def kept(self, state: StreamState, said: list[int], text: str) -> list[int]:
        return self.ids(IM_END + JOIN + open_turn("assistant") + text + IM_END)

    def _next_turn(self, state: StreamState) -> str:
        if not state.context:
            return self.system + JOIN
        return IM_END + JOIN if state.stream_open else JOIN


class UpstreamProtocol:
    """What the published numbers were made with.

    The system turn enters only with the first frame, and only if nothing came before it; those first frames
    have no stream header. A kept response's last token enters with the next frame, and is lost if a query comes
    first. After a removed response the stream turn is never closed.
    """

    def __init__(self, processor: DuetProcessor):
        self.ids = processor.ids
        self.system = processor.render_turn(processor.system_turn())

    def query(self, state: StreamState, text: str) -> list[int]:
        state.carry = []
        closing = IM_END if state.last == "frame" else ""
        return self.ids(closing + JOIN + open_turn("user") + text + IM_END + JOIN + open_turn("stream"))

    def frame(self, state: StreamState) -> list[int]:
        if not state.context:
            return self.ids(self.system)
        if not state.carry:
            return []
        carried, state.carry = state.carry, []
        return carried + self.ids(JOIN + open_turn("stream"))

    def response(self, state: StreamState) -> list[int]:
        return self.ids(IM_END + JOIN + open_turn("assistant"))

    def kept(self, state: StreamState, said: list[int], text: str) -> list[int]:
        state.carry = said[-1:]
        return self.response(state) + said[:-1]


PROTOCOLS: dict[str, type[TrainingProtocol] | type[UpstreamProtocol]] = {
    "training": TrainingProtocol,
    "upstream": UpstreamProtocol,
}
