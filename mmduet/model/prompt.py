"""Turns, and the text that a chat format makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mmduet.errors import DuetError
from mmduet.model.labels import check_labels

ROLES = ("system", "user", "assistant")
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
        DuetError: The role is another, or the text holds one of the prompt's own tokens, which would end the turn.
    """

    role: Literal["system", "user", "assistant"]
    text: str
    learn: bool = True

    def __post_init__(self) -> None:
        if self.role not in ROLES or not isinstance(self.text, str):
            raise DuetError(
                f"a text turn of {self.role!r} with {self.text!r}: give one of {', '.join(ROLES)}, and a text."
            )
        CHATML.check_text(self.role, self.text)


@dataclass(frozen=True, slots=True)
class StreamTurn:
    """Consecutive frames.

    Attributes:
        frames: Number of frames.
        informative: A label of 0 or 1 for each frame, or -100 for one that is not labelled. None: none is labelled.
        relevance: Likewise.

    Raises:
        DuetError: There are fewer than 0 frames, or not one such label for each.
    """

    frames: int
    informative: tuple[int, ...] | None = None
    relevance: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_labels(self.frames, informative=self.informative, relevance=self.relevance)


Turn = TextTurn | StreamTurn


@dataclass(frozen=True, slots=True)
class ChatFormat:
    r"""How turns become text.

    A turn reads ``{start}ROLE\n...{end}``, and `join` stands between two turns. A stream turn holds its frames with
    nothing between them. The defaults are ChatML with MMDuet's stream turns.

    Attributes:
        start: The token that opens a turn.
        end: The token that closes a turn.
        image: The token that stands for one embedding of a frame.
        frame_start: The token before a frame's image tokens; may be empty.
        frame_end: The token after them; may be empty.
        join: The text between two turns.
        stream_role: The role of a stream turn.
    """

    start: str = IM_START
    end: str = IM_END
    image: str = IMAGE
    frame_start: str = ""
    frame_end: str = ""
    join: str = "\n"
    stream_role: str = "stream"

    @property
    def tokens(self) -> list[str]:
        """The tokens that no text may hold, since they would end a turn or stand for a frame."""
        return [token for token in (self.start, self.end, self.image, self.frame_start, self.frame_end) if token]

    def check_text(self, role: str, text: str) -> None:
        """Raise DuetError where a text holds one of the prompt's own tokens, or half of a surrogate pair."""
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise DuetError(
                f"{role} text {text!r} holds half of a surrogate pair, which is no character: remove it, or, if it was "
                "typed, use a UTF-8 terminal."
            )
        for token in self.tokens:
            if token in text:
                raise DuetError(f"{role} text {text!r} holds {token!r}, a token of the prompt: remove it.")

    def open_turn(self, role: str) -> str:
        """Return the text that opens a turn."""
        return f"{self.start}{role}\n"

    def render_frames(self, frame_tokens: Sequence[int]) -> str:
        """Return consecutive frames' text, each of so many image tokens."""
        return "".join(self.frame_start + self.image * tokens + self.frame_end for tokens in frame_tokens)

    def render_turn(self, turn: Turn, frame_tokens: Sequence[int], *, close: bool = True) -> str:
        """Return one turn's text.

        Args:
            turn: The turn.
            frame_tokens: Image tokens of each frame of a stream turn.
            close: Whether the turn is closed.
        """
        if isinstance(turn, StreamTurn):
            body = self.open_turn(self.stream_role) + self.render_frames(frame_tokens)
        else:
            body = self.open_turn(turn.role) + turn.text
        return body + self.end if close else body


CHATML = ChatFormat()
