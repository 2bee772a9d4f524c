"""Decision: how a model says after each frame whether it speaks."""

from collections.abc import Iterator
from typing import Protocol

from mmduet.events import Event
from mmduet.kernels import Kernels
from mmduet.model.backbone import Backbone, EmbeddedTokens
from mmduet.model.processing import DuetProcessor
from mmduet.policy import Policy
from mmduet.streaming.context import Context
from mmduet.streaming.generation import Decoder
from mmduet.streaming.lookahead import LookAhead
from mmduet.streaming.state import StreamState


class Session(Protocol):
    """The parts of a `DuetSession` that a decision uses; the attributes are the session's."""

    model: Backbone
    processor: DuetProcessor
    kernels: Kernels
    context: Context
    look_ahead: LookAhead
    policy: Policy
    frame_fps: float
    remove_assistant_turns: bool
    repetition_penalty: float | None
    max_new_tokens: int

    @property
    def state(self) -> StreamState:
        """Everything that is remembered of the video."""
        ...

    @property
    def time(self) -> float:
        """The next frame's time, in seconds."""
        ...


def decoder_for(session: Session) -> Decoder:
    """Return a decoder with a session's present settings."""
    return Decoder(
        session.context, repetition_penalty=session.repetition_penalty, max_new_tokens=session.max_new_tokens
    )


class Decision(Protocol):
    """Watches the frames of one video, and yields their events."""

    @property
    def next_frame(self) -> int:
        """The index in the video of the next frame to watch."""
        ...

    def watch(self, frames: list[EmbeddedTokens], first: int) -> Iterator[Event]:
        """Watch frames, the first of which has the index `first` in the video."""
        ...

    def finish(self) -> Iterator[Event]:
        """Watch what is left at the video's end."""
        ...
