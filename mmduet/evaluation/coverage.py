"""Which questions have both a prediction and a reference."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mmduet.errors import DuetError
from mmduet.evaluation.items import Places, read_items, spans_of
from mmduet.evaluation.prediction_file import SLACK, Prediction, PredictionFile, read_predictions


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


def coverage(predictions: PredictionFile, references: Mapping[str, Any]) -> Coverage:
    """Match predictions with references by question id.

    Raises:
        DuetError: No question has both, or the spans of most begin after the end of their video.
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
    if len(result.beyond) > sum(bool(spans_of(references[name])) for name in matched) / 2:
        name = result.beyond[0]
        start, end = _late(references[name], predictions.by_id[name])[0], predictions.by_id[name].duration
        raise DuetError(
            f"{len(result.beyond)} of {len(matched)} questions have a span that begins after the video's end, such as "
            f"{name!r}, at {start:g} s of {end:g} s: give the references in seconds, and of the same videos."
        )
    return result


def _late(item: Any, prediction: Prediction) -> list[float]:
    """When the spans begin that begin after the end of the video, s."""
    return [start for start, *_ in spans_of(item) if start > prediction.duration + SLACK]


def read_matched(
    predictions: Path,
    references: Path,
    schema: type[BaseModel],
    say: Callable[[str], None],
    *,
    entries: Callable[[Places], Places] | None = None,
    read: Callable[[Path, Mapping[str, Any]], PredictionFile] | None = None,
) -> tuple[dict[str, Prediction], dict[str, Any]]:
    """Read predictions and references, both by question id, and say which questions have both.

    `entries` and `read` are those of a `Benchmark`.
    """
    items = read_items(references, schema, entries)
    found = read(predictions, items) if read else read_predictions(predictions)
    say(str(coverage(found, items)))
    return found.by_id, items
