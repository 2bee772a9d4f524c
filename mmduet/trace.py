"""DuetTrace: the scores, queries and responses of one watched video, as plain arrays."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, Strict, StrictBool, StrictStr

from mmduet.errors import AnnotationError, DuetError
from mmduet.files import validated
from mmduet.policy import HEADS, REPLY, BoolArray, FloatArray, FrameScores, Policy, checked_policy


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


@dataclass(slots=True)
class DuetTrace:
    """One watched video.

    The scores are those of both heads, or `reply` of a model that decides in words; the others are None. A "frame" of
    such a model is a piece of one or more frames, and its time is the piece's end.

    Attributes:
        times: Time of each frame, s; float64 [N].
        informative: Probabilities in [0, 1], float64 [N].
        relevance: Probabilities in [0, 1], float64 [N].
        responses: The model's turns.
        queries: The user's turns.
        context_length: Tokens in the model's context at the end.
        reply: 1 minus the probability of the words of silence, in [0, 1], float64 [N].
        greedy: Whether greedy decoding gives a reply, bool [N].
    """

    times: FloatArray
    informative: FloatArray | None = None
    relevance: FloatArray | None = None
    responses: list[Response] = field(default_factory=list)
    queries: list[Query] = field(default_factory=list)
    context_length: int = 0
    reply: FloatArray | None = None
    greedy: BoolArray | None = None

    @classmethod
    def from_events(cls, events: Iterable[FrameScores | Query | Response], context_length: int = 0) -> "DuetTrace":
        """Collect a session's events, in order."""
        events = list(events)
        scores = [event for event in events if isinstance(event, FrameScores)]
        in_words = bool(scores) and scores[0].reply is not None
        return cls(
            times=np.array([s.time for s in scores], dtype=float),
            **{name: np.array([getattr(s, name) for s in scores], dtype=float) for name in _heads(in_words)},
            greedy=np.array([s.greedy for s in scores], dtype=bool) if in_words else None,
            responses=[event for event in events if isinstance(event, Response)],
            queries=[event for event in events if isinstance(event, Query)],
            context_length=context_length,
        )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def heads(self) -> tuple[str, ...]:
        """The names of the scores that this trace has: both heads, or ``reply``."""
        return _heads(self.reply is not None)

    def curve(self, head: str) -> FloatArray:
        """The scores of one of `heads`, float64 [N].

        Raises:
            DuetError: The trace has no such scores.
        """
        if head not in self.heads:
            raise DuetError(f"head={head!r}: this trace has {', '.join(self.heads)}.")
        return cast(FloatArray, getattr(self, head))

    def scores(self) -> Iterable[FrameScores]:
        """The frames' scores in order."""
        if self.reply is None:
            return map(FrameScores, self.times.tolist(), *(self.curve(head).tolist() for head in HEADS))
        greedy = [None] * len(self) if self.greedy is None else self.greedy.tolist()
        return (
            FrameScores(time, reply=score, greedy=likeliest)
            for time, score, likeliest in zip(self.times.tolist(), self.reply.tolist(), greedy, strict=True)
        )

    def replay(self, policy: Policy) -> NDArray[np.int64]:
        """Find the frames after which another policy would have spoken.

        The scores stay those of this trace. With responses removed from the context the replay is exact. Otherwise
        it is an approximation, because a response that stays in the context changes later scores.

        Args:
            policy: It is reset first.

        Returns:
            The frames' indices, ascending.

        Raises:
            DuetError: The object is not a policy.
        """
        checked_policy(policy).reset()
        picked = [index for index, scores in enumerate(self.scores()) if policy.need(scores)]
        return np.array(picked, dtype=np.int64)

    def to_prediction(self, question_id: str | int, video_duration: float) -> dict[str, Any]:
        """Make a line of a prediction file in the published form, JSON-ready.

        Args:
            question_id: The question's id.
            video_duration: s.
        """
        turns = [(q.time, 0, q.text, "user") for q in self.queries]
        turns += [(r.time, 1, r.text, "assistant") for r in self.responses]
        return {
            "question_id": question_id,
            "video_duration": video_duration,
            "model_response_list": [
                {"time": time, "content": text, "role": role} for time, _, text, role in sorted(turns)
            ],
            "debug_data": [_frame_data(scores) for scores in self.scores()],
        }

    @classmethod
    def from_prediction(cls, line: Mapping[str, Any]) -> "DuetTrace":
        """Read a line of a prediction file.

        Args:
            line: In the published form, or in the older one with ``video_time`` and two-element score lists. The frames
                of a model that decides in words have ``reply_score`` and, optionally, ``greedy_reply``. Token ids and
                context length are in none of them. Frame times ascend, scores are in [0, 1], and response times do
                not descend. In a line without frames a response may be at -1: its time is not known.

        Raises:
            AnnotationError: The message names the question, the field, the rule and the value found.
        """
        where = (
            f"prediction of question {line.get('question_id', '?')!r}" if isinstance(line, Mapping) else "prediction"
        )
        try:
            checked = validated(where, _Line, line, place="field")
            frames = _read_frames(where, checked.debug_data)
            _check_turns(where, checked.model_response_list, has_frames=bool(len(frames["times"])))
        except AnnotationError as error:
            raise AnnotationError(f"{str(error).rstrip('.')}; {RULE}.") from None
        turns = checked.model_response_list
        return cls(
            **frames,
            responses=[Response(turn.time, turn.content) for turn in turns if turn.role == "assistant"],
            queries=[Query(turn.time, turn.content) for turn in turns if turn.role == "user"],
        )


# a prediction line

UNTIMED = -1.0  # the time of a response whose time is not known
RULE = (
    "a line has debug_data [{time, informative_score, relevance_score}], or [{time, reply_score}] of a model that "
    "decides in words, whose times ascend and whose scores are from 0 to 1, and model_response_list [{time, content, "
    "role}]"
)
Time = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]


def _probability_of_speaking(score: Any) -> Any:
    """The score, also of the older form, which wrote both classes: [silent, speak]."""
    return score[1] if type(score) is list and len(score) == 2 else score


Score = Annotated[float, Strict(), Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_probability_of_speaking)]


class _Turn(BaseModel):
    role: Literal["user", "assistant"]
    time: Annotated[float, Strict(), Field(ge=UNTIMED, allow_inf_nan=False)]
    content: StrictStr


class _Line(BaseModel):
    model_response_list: list[_Turn]
    debug_data: list[Any] = []  # of _Frame or _Piece; without it, nothing is known of the scores


class _Frame(BaseModel):
    time: Time = Field(validation_alias=AliasChoices("time", "video_time"))
    informative_score: Score
    relevance_score: Score


class _Piece(BaseModel):
    time: Time
    reply_score: Score
    greedy_reply: StrictBool | None = None


def _heads(in_words: bool) -> tuple[str, ...]:
    return (REPLY,) if in_words else HEADS


def _frame_data(scores: FrameScores) -> dict[str, Any]:
    """A frame as it is in a prediction line."""
    if scores.reply is None:
        return {"time": scores.time, "informative_score": scores.informative, "relevance_score": scores.relevance}
    greedy = {} if scores.greedy is None else {"greedy_reply": scores.greedy}
    return {"time": scores.time, "reply_score": scores.reply, **greedy}


def _check_turns(where: str, turns: Sequence[_Turn], *, has_frames: bool) -> None:
    last = 0.0
    for index, turn in enumerate(turns):
        if turn.time == UNTIMED and turn.role == "assistant" and not has_frames:
            continue
        if turn.time < 0 or (turn.role == "assistant" and turn.time < last):
            rule = f"after one at {last:g} s" if turn.time >= 0 else "before the video's start"
            raise AnnotationError(f"{where}: field model_response_list / {index} / time is {turn.time:g}, {rule}.")
        last = turn.time if turn.role == "assistant" else last


def _read_frames(where: str, frames: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The fields of a trace: float64 [N] each, and `greedy` where every frame has it.

    Files hold many frames, so each column is checked as a whole. Frames are checked one by one only to name the first
    wrong one.
    """
    in_words = any("reply_score" in frame for frame in frames if type(frame) is dict)
    schema: type[BaseModel] = _Piece if in_words else _Frame
    if not set(map(type, frames)) <= {dict}:
        validated(where, list[schema], frames, place="field debug_data /")  # type: ignore[valid-type]
    time = "video_time" if frames and "time" not in frames[0] else "time"
    scores = {head: _column(frames, f"{head}_score") for head in _heads(in_words)}
    times = _column(frames, time)
    right = (times >= 0).all() and all(((score >= 0) & (score <= 1)).all() for score in scores.values())
    greedy = [frame.get("greedy_reply") for frame in frames] if in_words else []
    if not right or not set(map(type, greedy)) <= {bool, type(None)}:
        validated(where, list[schema], frames, place="field debug_data /")  # type: ignore[valid-type]
        raise AnnotationError(f"{where}: field debug_data: its frames are not all of one form.")
    if len(falls := np.flatnonzero(np.diff(times) <= 0)):
        at = int(falls[0]) + 1
        raise AnnotationError(
            f"{where}: field debug_data / {at} / {time} is {times[at]:g}, after one at {times[at - 1]:g} s."
        )
    known = bool(greedy) and None not in greedy
    return {"times": times, **scores, **({"greedy": np.array(greedy, dtype=bool)} if known else {})}


def _column(frames: Sequence[Mapping[str, Any]], name: str) -> FloatArray:
    """A field of all frames, float64 [N]; nan where it is not a finite number."""
    values = [_probability_of_speaking(frame.get(name)) for frame in frames]
    try:
        wrong = not set(map(type, values)) <= {int, float}  # a bool is not a number
        column = np.full(len(values), np.nan) if wrong else np.array(values, dtype=float)
    except OverflowError:  # an integer of hundreds of digits
        return np.full(len(values), np.nan)
    return np.where(np.isfinite(column), column, np.nan)
