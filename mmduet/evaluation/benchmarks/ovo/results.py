"""OVO-Bench's answers: read from result files, from lmms-eval's logs, and from prediction lines; and written.

A result file is ``{"backward": [], "realtime": [], "forward": []}``. A choice is ``{id, task, response, …}``. An entry
of a forward task is the annotation, with ``response`` in each test point. All files of a folder are added up.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, StrictInt, StrictStr

from mmduet.errors import AnnotationError, DuetError
from mmduet.evaluation import lmms_eval
from mmduet.evaluation.benchmarks.ovo.items import GROUPS, LETTERS, OvoItem, TestPoint
from mmduet.evaluation.prediction_file import Prediction, PredictionFile, read_predictions
from mmduet.files import read_json, validated
from mmduet.trace import DuetTrace, Query, Response

PARTS = {"backward": "Backward", "realtime": "Real-time", "forward": "Forward"}  # of a result file -> group
LOGS = {"backward": "back_real_acc", "realtime": "back_real_acc", "forward": "forward_acc"}  # lmms-eval's metric
Round = tuple[str | None, ...]  # the response at each test point; None: no response


@dataclass(slots=True)
class Answers(Prediction):
    """The answers of a result file. rounds: one for each time that the entry comes; usually one."""

    rounds: tuple[Round, ...] = ()

    @property
    def is_timed(self) -> bool:
        """The benchmark chose the times."""
        return False


class _Answer(BaseModel):
    id: StrictInt | StrictStr
    response: StrictStr | None
    ground_truth: StrictStr | None = None


class _Point(BaseModel):
    response: StrictStr | None


class _Points(BaseModel):
    id: StrictInt | StrictStr
    test_info: list[_Point]


class _Results(BaseModel):
    backward: list[Any] = []
    realtime: list[Any] = []
    forward: list[Any] = []


# reading


def read_answers(path: Path, references: Mapping[str, OvoItem]) -> PredictionFile:
    """Read a prediction file, a result file, a sample log of lmms-eval, or a folder of result files and logs.

    Raises:
        DuetError: A file is of none of these forms, or its entry does not fit the reference.
    """
    files = sorted(p for p in path.iterdir() if p.suffix in (".json", ".jsonl")) if path.is_dir() else [path]
    if path.is_dir() and not files:
        raise AnnotationError(f"{path} holds no .json and no .jsonl file: give a folder of result files.")
    if not path.is_dir() and path.suffix != ".json" and not lmms_eval.is_log(path):
        return read_predictions(path)
    rounds: dict[str, list[Round]] = {}
    for file in files:
        for place, entry in _entries(file):
            name, answered = _round(f"{file}: {place}", entry, references)
            rounds.setdefault(name, []).append(answered)
    return PredictionFile(path, {name: _answers(name, tuple(r), references.get(name)) for name, r in rounds.items()})


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """(place, entry) of a result file or a sample log."""
    if path.suffix == ".json":
        results = validated(path, _Results, read_json(path), place="part")
        yield from ((f"{part} / {i}", entry) for part in PARTS for i, entry in enumerate(getattr(results, part)))
        return
    if not lmms_eval.is_log(path):
        raise AnnotationError(f"{path} is no sample log of lmms-eval: keep result files and logs alone in the folder.")
    for sample in lmms_eval.read_log(path):
        known = [sample.metrics[metric] for metric in sorted(set(LOGS.values())) if metric in sample.metrics]
        if not known:
            raise AnnotationError(f"{path}: doc_id {sample.doc_id} has neither of {sorted(set(LOGS.values()))}.")
        yield f"doc_id {sample.doc_id}", known[0]


def _round(where: str, entry: Any, references: Mapping[str, OvoItem]) -> tuple[str, Round]:
    """The id of an entry, and its responses."""
    if isinstance(entry, dict) and "test_info" in entry:
        found: _Points = validated(where, _Points, entry, place="field")
        name, answered, letter = str(found.id), tuple(point.response for point in found.test_info), None
    else:
        choice: _Answer = validated(where, _Answer, entry, place="field")
        name, answered, letter = str(choice.id), (choice.response,), choice.ground_truth
    if item := references.get(name):
        _check(where, item, answered, letter)
    return name, answered


def _check(where: str, item: OvoItem, answered: Round, letter: str | None) -> None:
    if len(answered) != len(item.points):
        raise AnnotationError(
            f"{where}: question {item.id} has {len(answered)} test points, and its reference {len(item.points)}: give "
            "the references that the model was asked."
        )
    if letter is not None and letter != (right := LETTERS[item.points[0].reference]):
        raise AnnotationError(f"{where}: ground_truth is {letter!r}, and the reference's gt is {right!r}: correct one.")


def _answers(name: str, rounds: tuple[Round, ...], item: OvoItem | None) -> Answers:
    points = item.points if item else []
    said = [Response(p.time, text) for p, text in zip(points, rounds[0], strict=False) if text is not None]
    trace = DuetTrace.from_events([*(Query(point.time, point.query) for point in points), *said])
    return Answers(name, max((p.time for p in points), default=math.nan), trace, rounds=rounds)


# from a stream


def rounds_of(prediction: Prediction, item: OvoItem, *, wait: float) -> tuple[Round, ...]:
    """The responses at the test points of an entry.

    In a stream, the answer is the first response that follows its question within `wait` seconds, and before the next
    question.

    Args:
        prediction: Of the entry.
        item: The entry.
        wait: Seconds, from 0 on.

    Raises:
        DuetError: The stream was not asked at the test points, or `wait` is negative.
    """
    if not wait >= 0:
        raise DuetError(f"wait={wait}: give a number of seconds from 0 on.")
    if isinstance(prediction, Answers):
        return prediction.rounds
    points = item.points
    asked = sorted(query.time for query in prediction.trace.queries)
    if asked != sorted(point.time for point in points):
        raise DuetError(
            f"prediction {item.question_id!r} was asked at {asked} s, and the test points are at "
            f"{sorted(point.time for point in points)} s: predict it again with this benchmark, or use ovobench_online."
        )
    order = sorted(range(len(points)), key=lambda index: points[index].time)
    starts = _put(asked, prediction.trace.times)
    found: dict[int, str | None] = {}
    for index, start, end in zip(order, starts, [*starts[1:], math.inf], strict=True):
        said = [r.text for r in prediction.trace.responses if start <= r.time < end and r.time <= start + wait]
        found[index] = said[0] if said else None
    return (tuple(found[index] for index in range(len(points))),)


def _put(asked: Sequence[float], frames: NDArray[np.float64]) -> list[float]:
    """The time of the frame before which each query was put, s; its own time in a line without frames.

    A session puts at most one query before a frame. One that is asked after the last frame is put before this frame.
    """
    if not len(frames):
        return list(asked)
    starts: list[float] = []
    following = 0
    for time in asked:
        following = min(max(following, int(np.searchsorted(frames, time))), len(frames) - 1)
        starts.append(float(frames[following]))
        following += 1
    return starts


# writing


def results_of(
    predictions: Mapping[str, Prediction], references: Mapping[str, OvoItem], *, wait: float
) -> dict[str, list[dict[str, Any]]]:
    """The answers in the form of a result file. An entry that came several times comes several times."""
    parts: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
    for name, item in references.items():
        part = next(part for part, group in PARTS.items() if item.task in GROUPS[group])
        if name in predictions:
            answers = rounds_of(predictions[name], item, wait=wait)
            parts[part] += [_result(item, item.points, answered) for answered in answers]
    return parts


def _result(item: OvoItem, points: Sequence[TestPoint], answered: Round) -> dict[str, Any]:
    entry = item.annotation
    if "test_info" in entry:
        for point, response in zip(entry["test_info"], answered, strict=True):
            point["response"] = response
        return entry
    kept = {key: entry[key] for key in ("id", "video", "task", "question")}
    return kept | {"response": answered[0], "ground_truth": LETTERS[points[0].reference]}


def log_lines(
    part: str, results: Sequence[Mapping[str, Any]], references: Mapping[str, OvoItem]
) -> list[dict[str, Any]]:
    """The lines of lmms-eval's sample log of a part: of the task ``ovo_PART``."""
    lines = []
    for number, entry in enumerate(results):
        item = references[str(entry["id"])]
        forward = part == "forward"
        response = [point["response"] for point in entry["test_info"]] if forward else entry["response"]
        metrics = {LOGS[part]: entry if forward else {k: v for k, v in entry.items() if k != "video"}}
        lines.append(
            lmms_eval.sample_line(
                number, item.annotation, target=str(entry.get("ground_truth", "")), response=response,
                metrics=metrics, query=item.points[0].query,
            )
        )  # fmt: skip
    return lines
