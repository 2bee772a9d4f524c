"""Protocols: which tokens surround frames, queries and responses in a streaming context.

The session asks its protocol before it feeds anything. A protocol changes nothing but `StreamState.deferred`.
"""

from typing import NamedTuple, Protocol

from mmduet.model.processing import DuetProcessor
from mmduet.streaming.state import StreamState


class ContextProtocol(Protocol):
    """The tokens around frames, queries and responses."""

    def query(self, state: StreamState, text: str) -> list[int]:
        """Return the ids of a query, with the tokens before and after it."""
        ...

    def frame(self, state: StreamState) -> list[int]:
        """Return the ids to feed before a frame. No ids are between two consecutive frames."""
        ...

    def response(self, state: StreamState) -> list[int]:
        """Return the ids to feed before a response is generated."""
        ...

    def kept(self, state: StreamState, generated_ids: list[int], text: str) -> list[int]:
        """Return the ids that a response leaves in the context, its header included.

        Args:
            state: The session's state.
            generated_ids: The response, with the end token where it was generated.
            text: The response as text.
        """
        ...


class _Texts(NamedTuple):
    """The pieces of text between words and frames."""

    system: str
    user: str
    assistant: str
    stream: str
    end: str
    join: str


def _texts(processor: DuetProcessor) -> _Texts:
    chat, system = processor.chat, processor.render_turn(processor.system_turn())
    user, assistant, stream = (chat.open_turn(role) for role in ("user", "assistant", chat.stream_role))
    return _Texts(system, user, assistant, stream, chat.end, chat.join)


class TrainingProtocol:
    """The context is always the training prompt of the conversation so far.

    Generated ids may differ from the tokenizer's ids of the same text: a kept response enters the context with the
    tokenizer's ids, as in training.
    """

    def __init__(self, processor: DuetProcessor):
        """Read the chat format and the system turn of a processor."""
        self.ids, self.texts = processor.ids, _texts(processor)

    def query(self, state: StreamState, text: str) -> list[int]:
        """As `ContextProtocol.query`."""
        return self.ids(self._next_turn(state) + self.texts.user + text + self.texts.end)

    def frame(self, state: StreamState) -> list[int]:
        """As `ContextProtocol.frame`."""
        return [] if state.stream_open else self.ids(self._next_turn(state) + self.texts.stream)

    def response(self, state: StreamState) -> list[int]:
        """As `ContextProtocol.response`."""
        return self.ids(self._next_turn(state) + self.texts.assistant)

    def kept(self, state: StreamState, generated_ids: list[int], text: str) -> list[int]:
        """As `ContextProtocol.kept`."""
        texts = self.texts
        return self.ids(texts.end + texts.join + texts.assistant + text + texts.end)

    def _next_turn(self, state: StreamState) -> str:
        if not state.context:
            return self.texts.system + self.texts.join
        return self.texts.end + self.texts.join if state.stream_open else self.texts.join


class UpstreamProtocol:
    """The published code's context.

    The system turn enters with the first frame, and only if nothing came before it. These first frames have no stream
    header. A kept response's last token enters with the next frame, and is lost if a query comes first. After a
    removed response the stream turn is never closed.
    """

    def __init__(self, processor: DuetProcessor):
        """Read the chat format and the system turn of a processor."""
        self.ids, self.texts = processor.ids, _texts(processor)

    def query(self, state: StreamState, text: str) -> list[int]:
        """As `ContextProtocol.query`."""
        state.deferred, texts = [], self.texts
        closing = texts.end if state.last == "frame" else ""
        return self.ids(closing + texts.join + texts.user + text + texts.end + texts.join + texts.stream)

    def frame(self, state: StreamState) -> list[int]:
        """As `ContextProtocol.frame`."""
        if not state.context:
            return self.ids(self.texts.system)
        if not state.deferred:
            return []
        deferred, state.deferred = state.deferred, []
        return deferred + self.ids(self.texts.join + self.texts.stream)

    def response(self, state: StreamState) -> list[int]:
        """As `ContextProtocol.response`."""
        return self.ids(self.texts.end + self.texts.join + self.texts.assistant)

    def kept(self, state: StreamState, generated_ids: list[int], text: str) -> list[int]:
        """As `ContextProtocol.kept`."""
        state.deferred = generated_ids[-1:]
        return self.response(state) + generated_ids[:-1]


PROTOCOLS: dict[str, type[TrainingProtocol] | type[UpstreamProtocol]] = {
    "training": TrainingProtocol,
    "upstream": UpstreamProtocol,
}
