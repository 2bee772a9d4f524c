"""StreamingBench's Proactive Output: its entries, and what polled models said.

"When X appears, output Y." A test file nests its questions in entries of a video, and gives them no ids: a question's
id is its position. Lin et al., arXiv 2411.03628.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StrictBool, StrictInt, StrictStr

from mmduet.errors import AnnotationError
from mmduet.evaluation.items import FileName, Item, Places, Seconds, Spans
from mmduet.evaluation.prediction_file import Prediction, PredictionFile, read_predictions
from mmduet.files import read_json, validated
from mmduet.trace import DuetTrace, Query, Response

TOLERANCE = 2.0  # s
EXTRA = 4  # s: the stream ends this long after the reference time
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]


def _seconds(value: Any) -> Any:
    """Seconds of a time as "HH:MM:SS"."""
    if not isinstance(value, str):
        return value
    parts = value.strip().split(":")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError('a time is "HH:MM:SS"')
    hours, minutes, seconds = map(int, parts)
    return float(3600 * hours + 60 * minutes + seconds)


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("the output that is asked for is not empty")
    return text


Clock = Annotated[Seconds, BeforeValidator(_seconds)]


class ProactiveItem(BaseModel):
    """A question.

    Attributes:
        question_id: Its position in the test file.
        video: The file in the video folder.
        question: When X appears, output Y.
        asked: When it is asked, s.
        due: When X appears, s.
        output: Y.
    """

    question_id: StrictInt | StrictStr
    video: Annotated[FileName, Field(validation_alias="video_path")]
    question: StrictStr
    asked: Annotated[Clock, Field(validation_alias="time_stamp")]
    due: Annotated[Clock, Field(validation_alias="ground_truth_time_stamp")]
    output: Annotated[StrictStr, AfterValidator(_not_empty), Field(validation_alias="ground_truth_output")]

    @property
    def spans(self) -> Spans:
        """The times within TOLERANCE of the reference time, with the output."""
        return [(max(0.0, self.due - TOLERANCE), self.due + TOLERANCE, self.output)]


class _Entry(BaseModel):
    video_path: StrictStr
    questions: list[dict[str, Any]]


def nested_questions(places: Places) -> Places:
    """A question an entry, of the published files, and of their form with a reply span (MMDuet2's)."""
    found: Places = []
    for place, value in places:
        if isinstance(value, dict) and "conversation" in value:
            found.append((place, _of_span(place, value)))
            continue
        entry: _Entry = validated("the test file", _Entry, value, place=f"{place} /")
        for number, question in enumerate(entry.questions):
            same = {"question_id": len(found), "video_path": entry.video_path}
            found.append((f"{place} / questions / {number}", same | question | same))
    return found


class _Reply(BaseModel):
    content: StrictStr
    reply_timespan: tuple[Seconds, Seconds]


class _Spanned(Item):
    answer: Annotated[list[_Reply], Field(min_length=1, max_length=1)]


def _of_span(place: str, value: Any) -> dict[str, Any]:
    """An entry whose answer has a reply span: it is due in the span's middle."""
    item: _Spanned = validated("the test file", _Spanned, value, place=f"{place} /")
    if len(item.conversation) != 1:
        raise AnnotationError(f"the test file: {place}: the conversation has {len(item.conversation)} turns: give one.")
    asked, (reply,) = item.conversation[0], item.answer
    return {
        "question_id": item.question_id, "video_path": item.video, "question": asked.content,
        "time_stamp": asked.time, "ground_truth_time_stamp": sum(reply.reply_timespan) / 2,
        "ground_truth_output": reply.content,
    }  # fmt: skip


# polling


class PolledTurn(BaseModel):
    """A turn of a polled model's dialogue. time: s, the end of the clip that it saw."""

    role: Literal["user", "assistant"]
    content: StrictStr
    time: Number
    cost: Number = 0.0


class Dialogue(BaseModel):
    """What a polled model said. answered: when it said yes, s; False: it never did."""

    answered: StrictBool | Number
    dialog_history: Annotated[list[PolledTurn], Field(min_length=1)]


@dataclass(slots=True)
class Polled(Prediction):
    """The prediction of a polled model. The published scoring looks at the last turn alone."""

    last: PolledTurn | None = None

    @property
    def is_timed(self) -> bool:
        """The loop chose the times at which it asked, and ended with the first yes."""
        return False


def poll(item: ProactiveItem, answer: Callable[[float, float, str], str]) -> Dialogue:
    """Poll a model about a question, as published.

    From one second after the question to `EXTRA` after the reference time, in steps of a second, the model is asked
    whether now is the time. The first answer that contains "yes" ends this, in any case and also inside another word.
    The model then gets the question itself.

    Args:
        item: The question.
        answer: ``answer(start, now, prompt)`` is the model's answer to the clip from `start` to `now`, s.

    Raises:
        AnnotationError: No second is left to ask in.
    """
    turns: list[PolledTurn] = []
    now, last = item.asked + 1, item.due + EXTRA
    ask = f'{item.question} Is it now the time to output "{item.output}"? Answer yes or no.'
    while now <= last:
        said = answer(item.asked, now, ask)
        turns += _exchange(now, ask, said)
        if "yes" in said.lower():
            turns += _exchange(now, item.question, answer(item.asked, now, item.question))
            return Dialogue(answered=now, dialog_history=turns)
        now += 1
    if not turns:
        raise AnnotationError(
            f"question {item.question_id!r} is asked at {item.asked:g} s and due at {item.due:g} s: no time is left to "
            "poll in; correct one of them."
        )
    return Dialogue(answered=False, dialog_history=turns)


def _exchange(time: float, prompt: str, said: str) -> list[PolledTurn]:
    return [PolledTurn(role="user", content=prompt, time=time), PolledTurn(role="assistant", content=said, time=time)]


def read_proactive(path: Path, references: Mapping[str, ProactiveItem]) -> PredictionFile:
    """Read a prediction file, or the output of the polling loop: the test file with a model's key in its questions.

    Raises:
        AnnotationError: The output is not of this form, is of several models, or is not of these references.
    """
    if path.suffix != ".json":
        return read_predictions(path)
    values = validated(path, list[Any], read_json(path), place="file")
    places = [(f"entry {index}", value) for index, value in enumerate(values)]
    found: dict[str, Polled] = {}
    models: set[str] = set()
    for place, question in nested_questions(places):
        name, dialogues = str(question["question_id"]), _dialogues(question)
        models |= dialogues.keys()
        if len(models) > 1:
            raise AnnotationError(f"{path}: it has answers of {' and '.join(sorted(models))}: give one file a model.")
        for model, value in dialogues.items():
            dialogue = validated(path, Dialogue, value, place=f"{place} / {model} /")
            found[name] = _polled(path, name, dialogue, question, references.get(name))
    if not models:
        raise AnnotationError(f"{path}: no question has a model's answer: give the output of the polling loop.")
    return PredictionFile(path, dict(found))


def _dialogues(question: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in question.items() if isinstance(value, dict) and "dialog_history" in value}


def _polled(
    path: Path, name: str, dialogue: Dialogue, question: Mapping[str, Any], item: ProactiveItem | None
) -> Polled:
    if item is not None and question.get("question") != item.question:
        raise AnnotationError(
            f"{path}: question {name} is {question.get('question')!r}, and that of the references {item.question!r}: "
            "give the test file that the model was asked."
        )
    last = dialogue.dialog_history[-1]
    said = [] if dialogue.answered is False else [Response(last.time, last.content)]
    asked = [] if item is None else [Query(item.asked, item.question)]
    return Polled(name, max(1.0, last.time), DuetTrace.from_events([*asked, *said]), last=last)
