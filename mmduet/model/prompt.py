"""Turns, and the text that a chat format makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mmduet.errors import DuetError

IM_START, IM_END, IMAGE = "<|im_start|>", "<|im_end|>", "<image>"
SYSTEM_PROMPT = (
    "A multimodal AI assistant is helping users with some activities. Below is their conversation, "
    "interleaved with the list of video frames received by the assistant."
)


@dataclass(frozen=True, slots=True)
class TextTurn:
    """A turn of words.

    Attributes:
        role: Who says it.
        text: What is said.
        learn: Whether an assistant's words are a training target.

    Raises:
        DuetError: The text holds one of the prompt's own tokens, which would end the turn.
    """

    role: Literal["system", "user", "assistant"]
    text: str
    learn: bool = True

    def __post_init__(self) -> None:
        for token in (IM_START, IM_END, IMAGE):
            if token in self.text:
                raise DuetError(f"{self.role} text {self.text!r} holds {token!r}, a token of the prompt: remove it.")


@dataclass(frozen=True, slots=True)
class StreamTurn:
    """Consecutive frames.

    Attributes:
        frames: Number of frames.
        informative: A label of 0 or 1 for each frame. None: not labelled.
        relevance: Likewise.
    """

    frames: int
    informative: tuple[int, ...] | None = None
    relevance: tuple[int, ...] | None = None


Turn = TextTurn | StreamTurn


@dataclass(frozen=True, slots=True)
class ChatFormat:
    r"""How turns become text.

    A turn reads ``{start}ROLE\n...{end}``, and `join` stands between two turns. A stream turn holds its frames' image
    tokens with nothing between them. The defaults are ChatML with MMDuet's stream turns.

    Attributes:
        start: The token that opens a turn.
        end: The token that closes a turn.
        image: The token that stands for one embedding of a frame.
        join: The text between two turns.
        stream_role: The role of a stream turn.
    """

    start: str = IM_START
    end: str = IM_END
    image: str = IMAGE
    join: str = "\n"
    stream_role: str = "stream"

    def open_turn(self, role: str) -> str:
        """Return the text that opens a turn."""
        return f"{self.start}{role}\n"

    def render_turn(self, turn: Turn, frame_tokens: Sequence[int], *, close: bool = True) -> str:
        """Return one turn's text.

        Args:
            turn: The turn.
            frame_tokens: Image tokens of each frame of a stream turn.
            close: Whether the turn is closed.
        """
        if isinstance(turn, StreamTurn):
            body = self.open_turn(self.stream_role) + self.image * sum(frame_tokens)
        else:
            body = self.open_turn(turn.role) + turn.text
        return body + self.end if close else body


CHATML = ChatFormat()
