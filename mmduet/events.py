"""Events: what a session yields of a video, the scores of its frames and what the user and the model say."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FrameScores:
    """The scores of one frame: both heads', or, of a model that decides in words, the reply's.

    A model that decides in words answers after a piece of one or more frames. The scores are the piece's, and the time
    is the piece's end.

    Attributes:
        time: The frame's time, s.
        informative: Probability in [0, 1].
        relevance: Probability in [0, 1].
        reply: 1 minus the probability of the words of silence, in [0, 1].
        greedy: Whether greedy decoding gives a reply and not the words of silence.
        silence_logprobs: Log-probability of each token of the words of silence, with the closing token.
    """

    time: float
    informative: float | None = None
    relevance: float | None = None
    reply: float | None = None
    greedy: bool | None = None
    silence_logprobs: tuple[float, ...] = ()


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


Event = FrameScores | Query | Response
