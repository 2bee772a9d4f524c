"""Turns, and the prompt they make.

A turn reads ``<|im_start|>ROLE\\n…<|im_end|>``, turns are joined by one newline, and a stream turn holds
its frames' image tokens with nothing between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mmduet.errors import DuetError

IM_START, IM_END, IMAGE = "<|im_start|>", "<|im_end|>", "<image>"
JOIN = "\n"
SYSTEM_PROMPT = (
    "A multimodal AI assistant is helping users with some activities. Below is their conversation, "
    "interleaved with the list of video frames received by the assistant."
)


@dataclass(frozen=True, slots=True)
class TextTurn:
    """Something said. learn: whether an assistant's words are a training target.

    Raises DuetError when the text holds one of the prompt's own tokens: it would end the turn.
    """

    role: Literal["system", "user", "assistant"]
    text: str
    learn: bool = True

    def __post_init__(self):
        for token in (IM_START, IM_END, IMAGE):
            if token in self.text:
                raise DuetError(f"{self.role} text {self.text!r} holds {token!r}, a token of the prompt: remove it.")


@dataclass(frozen=True, slots=True)
class StreamTurn:
    """Frames seen in a row. informative, relevance: a 0/1 label for each frame, or None: not labelled."""

    frames: int
    informative: tuple[int, ...] | None = None
    relevance: tuple[int, ...] | None = None


Turn = TextTurn | StreamTurn


def open_turn(role: str) -> str:
    """The text that opens a turn."""
    return f"{IM_START}{role}\n"


def render_turn(turn: Turn, *, tokens_per_frame: int, close: bool = True) -> str:
    """One turn's text; close=False leaves it open."""
    if isinstance(turn, StreamTurn):
        body = open_turn("stream") + IMAGE * (turn.frames * tokens_per_frame)
    else:
        body = open_turn(turn.role) + turn.text
    return body + IM_END if close else body


def render(turns: Sequence[Turn], *, tokens_per_frame: int, close: bool = True) -> str:
    """The conversation's text; close=False leaves the last turn open."""
    last = len(turns) - 1
    return JOIN.join(
        render_turn(turn, tokens_per_frame=tokens_per_frame, close=close or index < last)
        for index, turn in enumerate(turns)
    )
