"""Which questions have both a prediction and a reference."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmduet.errors import DuetError
from mmduet.evaluation.benchmark import Benchmark, Question
from mmduet.evaluation.items import spans_of
from mmduet.evaluation.prediction_file import SLACK, Prediction, PredictionFile
from mmduet.system.identity import differences


@dataclass(frozen=True, slots=True)
class Coverage:
    """The ids of the questions, by what is present. `str` gives one sentence.

    Attributes:
        matched: Questions with a prediction and a reference.
        missing: References without a prediction.
        failed: References whose prediction is an error line.
        extra: Predictions without a reference.
        baseline: Matched questions whose prediction is a whole-video baseline's text.
        untimed: Questions of `baseline` without any time that can be read.
        unread: Times that cannot be read, as written, of the other questions of `baseline`.
        beyond: Matched questions with a span that begins after the end of the video.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    failed: tuple[str, ...]
    extra: tuple[str, ...]
    baseline: tuple[str, ...] = ()
    untimed: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()

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
        if self.beyond:
            parts.append(f"{len(self.beyond)} with a span that begins after the video's end, such as {self.beyond[0]}")
        return "; ".join(parts)


def coverage(
    predictions: PredictionFile, references: Mapping[str, Any], questions: Mapping[str, Question] | None = None
) -> Coverage:
    """Match predictions with references by question id.

    Args:
        predictions: The prediction file.
        references: Question id -> item.
        questions: Question id -> the question of the references, as far as it is known (`questions_of`). A line that
            states what was asked answers this question.

    Raises:
        DuetError: No question has both, a line answers another question of the same id, or the spans of most begin
            after the end of their video.
    """
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
        beyond=tuple(name for name in matched if _late(references[name], predictions.by_id[name])),
    )
    if not result.matched and predictions.errors and not predictions.by_id:
        name, error = next(iter(predictions.errors.items()))
        raise DuetError(
            f"{predictions.path}: all {len(predictions.errors)} questions failed, the first, {name!r}, since "
            f"{error.rstrip('.')}. Correct that, and ask again."
        )
    if not result.matched:
        raise DuetError(
            f"{predictions.path} has no prediction for any of the {len(references)} references "
            f"(its questions: {', '.join(result.extra[:3]) or 'none'}): give the references of the same benchmark."
        )
    for name in (name for name in result.matched if name in (questions or {})):
        _check_asked(predictions.path, name, predictions.by_id[name].asked, (questions or {})[name].stated())
    if len(result.beyond) > sum(bool(spans_of(references[name])) for name in matched) / 2:
        name = result.beyond[0]
        start, end = _late(references[name], predictions.by_id[name])[0], predictions.by_id[name].duration
        raise DuetError(
            f"{len(result.beyond)} of {len(matched)} questions have a span that begins after the video's end, such as "
            f"{name!r}, at {start:g} s of {end:g} s: give the references in seconds, and of the same videos."
        )
    return result


def _check_asked(path: Path, name: str, asked: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse an answer to another question; what is compared is what the line and the references both state."""
    both = asked.keys() & now.keys()
    if differing := [*differences({field: asked[field] for field in both}, {field: now[field] for field in both})]:
        raise DuetError(
            f"{path} answers another question with the id {name!r} ({'; '.join(differing)}): give the benchmark "
            "and the references of the questions that were asked, or predict these."
        )


def questions_of(benchmark: Benchmark, references: str | Path, predictions: PredictionFile) -> dict[str, Question]:
    """Question id -> question of a test file, for `coverage`.

    Empty where there is nothing to compare: no line states what was asked, or the file has labels but no questions
    that `predict` takes.
    """
    if not any(prediction.asked for prediction in predictions.by_id.values()):
        return {}
    with suppress(DuetError):
        return {str(question.question_id): question for question in benchmark.read_questions(references)}
    return {}


def _late(item: Any, prediction: Prediction) -> list[float]:
    """When the spans begin that begin after the end of the video, s."""
    return [start for start, *_ in spans_of(item) if start > prediction.duration + SLACK]


def read_matched(
    benchmark: Benchmark, predictions: str | Path, references: str | Path, say: Callable[[str], None]
) -> tuple[dict[str, Prediction], dict[str, Any]]:
    """Read a benchmark's predictions and references, both by question id, and say which questions have both.

    Raises:
        DuetError: A file cannot be read, or they do not belong together (`coverage`).
    """
    items = benchmark.read_references(references)
    found = benchmark.read_predictions(predictions, items)
    say(str(coverage(found, items, questions_of(benchmark, references, found))))
    return found.by_id, items
