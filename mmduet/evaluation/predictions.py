"""Prediction files: one JSON object a line, a line a question.

Read are this project's and the published form `{question_id, video_duration, model_response_list, debug_data}`, the
older published form, and whole-video baselines `{question_id, video_duration, model_response: [text]}` whose text is
TimeChat's `12.0 - 20.5 seconds, text` or VTimeLLM's `From 10 to 25, text` (percent of the duration).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmduet.errors import DuetError
from mmduet.trace import DuetTrace, Response

UNTIMED = -1.0  # the time of a baseline's text without times
_NUMBER = r"(\d+(?:\.\d+)?)"
_TIMECHAT = re.compile(rf"{_NUMBER}\s*-\s*{_NUMBER}\s*seconds?\s*[,:.]?\s*(.*)")
_VTIMELLM = re.compile(rf"[Ff]rom\s+{_NUMBER}\s+to\s+{_NUMBER}\s*[,:.]?\s*(.*)")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a video and what is said of it. start, end: s, start <= end."""

    start: float
    end: float
    text: str


@dataclass(slots=True)
class Prediction:
    """What a model made of one question. duration: the video's, s.

    trace: scores and responses over time. segments: of a whole-video baseline, whose trace has no scores, and one
    response, at UNTIMED, where its text puts no words to a time; else None.
    """

    question_id: str
    duration: float
    trace: DuetTrace
    segments: list[Segment] | None = None


@dataclass(slots=True)
class PredictionFile:
    """by_id: the predictions. errors: question -> why there is none, of lines that hold an error."""

    path: Path
    by_id: dict[str, Prediction] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How predictions and references meet, by question. failed: predictions that are an error line."""

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    failed: tuple[str, ...]
    extra: tuple[str, ...]

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
        return "; ".join(parts)


def read_predictions(path: str | Path) -> PredictionFile:
    """All lines of a prediction file.

    Raises DuetError naming the file, the line and the field for a line that is no prediction, or a question that
    comes twice.
    """
    path = Path(path)
    if not path.is_file():
        raise DuetError(f"{path} does not exist: make it with `mmduet predict`, or correct the path.")
    found = PredictionFile(path)
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                _read_line(found, f"{path}, line {number}", line)
    return found


def _read_line(found: PredictionFile, where: str, line: str) -> None:
    try:
        entry = json.loads(line)
        question_id = str(entry["question_id"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DuetError(f"{where}: {error!r}; a line is a JSON object with a question_id.") from error
    if question_id in found.by_id or question_id in found.errors:
        raise DuetError(f"{where}: question {question_id!r} has a prediction already; remove one of the two.")
    if "error" in entry:
        found.errors[question_id] = str(entry["error"])
        return
    try:
        found.by_id[question_id] = _read_prediction(question_id, entry)
    except DuetError as error:
        raise DuetError(f"{where}: {error}") from error


def _read_prediction(question_id: str, entry: Mapping[str, Any]) -> Prediction:
    try:
        duration = float(entry["video_duration"])
    except (KeyError, TypeError, ValueError) as error:
        raise DuetError(f"prediction {question_id!r}: {error!r}; a line has video_duration, in seconds.") from error
    if "model_response" not in entry:
        return Prediction(question_id, duration, DuetTrace.from_prediction(entry))
    texts = entry["model_response"]
    text = "\n".join([texts] if isinstance(texts, str) else texts)
    segments = parse_segments(text, duration)
    untimed = [] if any(segment.text for segment in segments) or not text else [Response(UNTIMED, text)]
    return Prediction(question_id, duration, DuetTrace.from_events(untimed), segments)


def parse_segments(text: str, duration: float) -> list[Segment]:
    """The segments that a whole-video baseline wrote, a line each; lines with no times in them are left out.

    duration: of the video, s, of which VTimeLLM's numbers are percent.
    """
    segments = []
    for line in re.split(r"\n|(?<=\.)\s+(?=[Ff]rom\s+\d|\d+(?:\.\d+)?\s*-\s*\d)", text):
        if match := _TIMECHAT.search(line):
            start, end = float(match[1]), float(match[2])
        elif match := _VTIMELLM.search(line):
            start, end = float(match[1]) / 100 * duration, float(match[2]) / 100 * duration
        else:
            continue
        segments.append(Segment(min(start, end), max(start, end), match[3].strip()))
    return segments


def coverage(predictions: PredictionFile, references: Mapping[str, Any]) -> Coverage:
    """Which questions have a prediction. Raises DuetError when none has."""
    result = Coverage(
        matched=tuple(name for name in references if name in predictions.by_id),
        missing=tuple(name for name in references if name not in predictions.by_id and name not in predictions.errors),
        failed=tuple(name for name in references if name in predictions.errors),
        extra=tuple(name for name in (*predictions.by_id, *predictions.errors) if name not in references),
    )
    if not result.matched:
        raise DuetError(
            f"{predictions.path} has no prediction for any of the {len(references)} references "
            f"(its questions: {', '.join(result.extra[:3]) or 'none'}): give the references of the same benchmark."
        )
    return result
