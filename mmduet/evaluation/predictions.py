"""Prediction files: one JSON object a line, a line a question.

Read are this project's and the published form `{question_id, video_duration, model_response_list, debug_data}`, the
older published form, and whole-video baselines `{question_id, video_duration, model_response: [text]}` whose text has
times in it (`mmduet.evaluation.text_times`). A file holds one of the two kinds. Everything is checked as it is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, Strict, StrictInt, StrictStr

from mmduet.errors import AnnotationError, DuetError
from mmduet.evaluation.text_times import Segment, parse_segments, unread_times
from mmduet.files import read_jsonl, validated
from mmduet.trace import UNTIMED, DuetTrace, Response

__all__ = [
    "LONGEST", "SLACK", "UNTIMED", "Coverage", "Prediction", "PredictionFile", "Segment", "coverage", "parse_segments",
    "read_predictions",
]  # fmt: skip

LONGEST = 7 * 86_400.0  # s; a video that lasts longer is a mistake
SLACK = 2.0  # s past a video's end: durations are rounded


@dataclass(slots=True)
class Prediction:
    """What a model made of one question. duration: the video's, s.

    trace: scores and responses over time. segments: of a whole-video baseline, whose trace has no scores, and one
    response, at UNTIMED, where its text puts no words to a time; else None. video: its file, where the line says it.
    unread: what a baseline wrote for times that cannot be read.
    """

    question_id: str
    duration: float
    trace: DuetTrace
    segments: list[Segment] | None = None
    video: str | None = None
    unread: tuple[str, ...] = ()


@dataclass(slots=True)
class PredictionFile:
    """by_id: the predictions. errors: question -> why there is none, of lines that hold an error."""

    path: Path
    by_id: dict[str, Prediction] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How predictions and references meet, by question.

    failed: predictions that are an error line. baseline: matched ones that are a text about the whole video; untimed:
    those of which no times can be read; unread: times as written that cannot be read, of the others.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    failed: tuple[str, ...]
    extra: tuple[str, ...]
    baseline: tuple[str, ...] = ()
    untimed: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{len(self.matched)} questions"]
        parts += [
            f"{len(names)} {what}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
            for what, names in (
                ("without prediction", self.missing),
                ("failed", self.failed),
                ("predictions without reference", self.extra),
            )
            if names
        ]
        if self.untimed:
            parts.append(f"{len(self.untimed)} of {len(self.baseline)} answers have no times that can be read")
        if self.unread:
            parts.append(f"{len(self.unread)} times of other answers cannot be read, such as {self.unread[0]!r}")
        return "; ".join(parts)


class _Head(BaseModel):
    """What every line has."""

    question_id: StrictInt | StrictStr


class _Failed(_Head):
    error: StrictStr


class _Answer(_Head):
    """What every line but an error has. model_response: of a whole-video baseline."""

    video_duration: Annotated[float, Strict(), Field(gt=0, le=LONGEST, allow_inf_nan=False)]
    video: StrictStr | None = None
    model_response: StrictStr | list[StrictStr] = []


def read_predictions(path: str | Path) -> PredictionFile:
    """All lines of a prediction file.

    Raises DuetError naming the file, the line and the field for a line that is no prediction (see
    `DuetTrace.from_prediction`), a question that comes twice, and lines of a whole-video baseline among others.
    """
    path = Path(path)
    if not path.exists():
        raise DuetError(f"{path} does not exist: make it with `mmduet predict`, or correct the path.")
    found = PredictionFile(path)
    kinds: dict[bool, int] = {}  # is it of a baseline -> its first line
    for number, entry in read_jsonl(path):
        where = f"{path}, line {number}"
        question_id = str(validated(where, _Head, entry, place="field").question_id)
        if question_id in found.by_id or question_id in found.errors:
            raise AnnotationError(f"{where}: question {question_id!r} has a prediction already; remove one of the two.")
        if "error" in entry:
            found.errors[question_id] = validated(where, _Failed, entry, place="field").error
            continue
        kinds.setdefault("model_response" in entry, number)
        if len(kinds) == 2:
            raise AnnotationError(
                f"{where}: a file holds lines of a whole-video baseline (model_response, as line {kinds[True]}) or "
                f"of a model that watches (model_response_list, as line {kinds[False]}): keep one kind."
            )
        try:
            found.by_id[question_id] = _read_prediction(question_id, entry)
        except AnnotationError as error:
            raise AnnotationError(f"{where}: {error}") from None
    return found


def _read_prediction(question_id: str, entry: Mapping[str, Any]) -> Prediction:
    where = f"prediction of question {question_id!r}"
    answer = validated(where, _Answer, entry, place="field")
    duration = answer.video_duration
    if "model_response" not in entry:
        trace = DuetTrace.from_prediction(entry)
        _check_end(where, trace, duration)
        return Prediction(question_id, duration, trace, video=answer.video)
    if "model_response_list" in entry:
        raise AnnotationError(f"{where} has model_response and model_response_list: keep one of them.")
    texts = answer.model_response
    text = texts if isinstance(texts, str) else "\n".join(texts)
    segments, unread = parse_segments(text, duration), tuple(unread_times(text, duration))
    untimed = [] if any(segment.text for segment in segments) or not text else [Response(UNTIMED, text)]
    return Prediction(question_id, duration, DuetTrace.from_events(untimed), segments, answer.video, unread)


def _check_end(where: str, trace: DuetTrace, duration: float) -> None:
    ends = {"debug_data": trace.times[-1:].tolist(), "model_response_list": [r.time for r in trace.responses[-1:]]}
    for name, (end, *_) in ((name, times) for name, times in ends.items() if times):
        if end > duration + SLACK:
            raise AnnotationError(
                f"{where}: field {name} ends at {end:g} s, and video_duration is {duration:g} s: correct one of them."
            )


def coverage(predictions: PredictionFile, references: Mapping[str, Any]) -> Coverage:
    """Which questions have a prediction, and times that can be read. Raises DuetError when none has a prediction."""
    matched = tuple(name for name in references if name in predictions.by_id)
    baseline = tuple(name for name in matched if predictions.by_id[name].segments is not None)
    untimed = tuple(name for name in baseline if not predictions.by_id[name].segments)
    result = Coverage(
        matched=matched,
        missing=tuple(name for name in references if name not in predictions.by_id and name not in predictions.errors),
        failed=tuple(name for name in references if name in predictions.errors),
        extra=tuple(name for name in (*predictions.by_id, *predictions.errors) if name not in references),
        baseline=baseline,
        untimed=untimed,
        unread=tuple(t for name in baseline if name not in untimed for t in predictions.by_id[name].unread),
    )
    if not result.matched:
        raise DuetError(
            f"{predictions.path} has no prediction for any of the {len(references)} references "
            f"(its questions: {', '.join(result.extra[:3]) or 'none'}): give the references of the same benchmark."
        )
    return result
