"""Turns: what the user and the model say during a video."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    """A user's turn.

    Attributes:
        time: Seconds into the video, >= 0.
        text: The user's words.
    """

    time: float
    text: str


@dataclass(frozen=True, slots=True)
class UserTurn:
    """A user's turn of a model that decides in words, where the turns are fixed beforehand.

    Attributes:
        frames: Its number of frames, >= 0.
        text: The user's words, after the frames; may be empty.
        skip_inference: Whether the model gives no answer.
        must_reply: Whether the model may not be silent.
    """

    frames: int
    text: str = ""
    skip_inference: bool = False
    must_reply: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """The model's turn.

    Attributes:
        time: Time of the frame after which the model spoke, s.
        text: The model's words.
        token_ids: Their ids, without the closing token; empty where they are not known.
    """

    time: float
    text: str
    token_ids: tuple[int, ...] = ()
