"""Prediction line: a trace in the published form, one JSON object a question."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, Strict, StrictBool, StrictStr

from mmduet.errors import AnnotationError
from mmduet.events import Query, Response
from mmduet.files import validated
from mmduet.policy import HEADS, REPLY, FloatArray, FrameScores

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


def frame_data(scores: FrameScores) -> dict[str, Any]:
    """A frame as it is in a prediction line."""
    if scores.reply is None:
        return {"time": scores.time, "informative_score": scores.informative, "relevance_score": scores.relevance}
    greedy = {} if scores.greedy is None else {"greedy_reply": scores.greedy}
    return {"time": scores.time, "reply_score": scores.reply, **greedy}


def read(line: Mapping[str, Any]) -> dict[str, Any]:
    """Read a line as the fields of a trace. `DuetTrace.from_prediction` states the rules.

    Raises:
        AnnotationError: The message names the question, the field, the rule and the value found.
    """
    where = f"prediction of question {line.get('question_id', '?')!r}" if isinstance(line, Mapping) else "prediction"
    try:
        checked = validated(where, _Line, line, place="field")
        frames = _read_frames(where, checked.debug_data)
        _check_turns(where, checked.model_response_list, has_frames=bool(len(frames["times"])))
    except AnnotationError as error:
        raise AnnotationError(f"{str(error).rstrip('.')}; {RULE}.") from None
    turns = checked.model_response_list
    return {
        **frames,
        "responses": [Response(turn.time, turn.content) for turn in turns if turn.role == "assistant"],
        "queries": [Query(turn.time, turn.content) for turn in turns if turn.role == "user"],
    }


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
    scores = {head: _column(frames, f"{head}_score") for head in ((REPLY,) if in_words else HEADS)}
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
