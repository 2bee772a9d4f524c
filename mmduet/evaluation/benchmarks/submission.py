"""QVHighlights' official submission files: read, made from predictions, and written.

A line holds ``{qid, query, vid, pred_relevant_windows: [[start, end, score]], pred_saliency_scores: [score]}``: times
in s, and a saliency score for each clip of 2 s. The official evaluation needs ``qid`` and the predictions alone.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, Field, Strict, StrictInt

from mmduet.errors import AnnotationError, DuetError
from mmduet.evaluation.benchmark import Console, Question
from mmduet.evaluation.coverage import coverage
from mmduet.evaluation.items import CLIP, HighlightQuery, read_items
from mmduet.evaluation.metrics.smoothing import check_threshold, scale, smooth
from mmduet.evaluation.prediction_file import LONGEST, Prediction, read_predictions
from mmduet.files import check_target, read_jsonl, validated, write_file
from mmduet.policy import decision_scores
from mmduet.trace import Query

MOST_WINDOWS = 10  # of a query; the official evaluation ignores the others
NO_WINDOW = [[0.0, 0.0, 0.0]]  # overlaps with nothing; the official evaluation fails on a query without a window
FIELDS = ("pred_saliency_scores", "pred_relevant_windows")
Window = Annotated[int, "Frames on each side to smooth over; the paper's is 2."]
Threshold = Annotated[float, "Threshold of the scaled saliency, 0 to 1, for windows."]


@dataclass(frozen=True, slots=True)
class Highlights:
    """The prediction for one query, as in an official submission.

    Attributes:
        saliency: float64 [clips], one score for each 2 s of the video; None: not predicted.
        windows: float64 [n, 3]: start s, end s, score; the first one is the best. None: not predicted.
    """

    saliency: NDArray[np.float64] | None
    windows: NDArray[np.float64] | None


# reading


def _window(window: list[float]) -> list[float]:
    if len(window) != 3 or not 0 <= window[0] <= window[1] <= LONGEST:
        raise ValueError("a window is start, end, score, as [2.0, 6.0, 0.9], and its end is not before its start")
    return window


Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]


class _Line(BaseModel):
    qid: StrictInt
    pred_saliency_scores: Annotated[list[Number], Field(min_length=1)] | None = None
    pred_relevant_windows: list[Annotated[list[Number], AfterValidator(_window)]] | None = None


def read_submission(path: str | Path) -> dict[str, Highlights]:
    """Read an official submission file: ``{qid, pred_saliency_scores?, pred_relevant_windows?}`` a line.

    Raises:
        DuetError: The file does not exist; a line is not of this form (the message names the file, line and field); a
            query comes twice; or some lines lack a field that others have.
    """
    if not Path(path).exists():
        raise DuetError(f"{path} does not exist: correct the path of the submission.")
    lines: dict[str, _Line] = {}
    fields: list[str] = []  # of the first line
    for number, entry in read_jsonl(path):
        where = f"{path}, line {number}"
        line = validated(where, _Line, entry, place="field")
        if str(line.qid) in lines:
            raise AnnotationError(f"{where}: qid {line.qid} comes more than once; keep one of its lines.")
        lines[str(line.qid)] = line
        has = [name for name in FIELDS if getattr(line, name) is not None]
        fields = fields or has
        if not has or has != fields:
            raise AnnotationError(
                f"{where}: the line has {' and '.join(has) or 'neither of ' + ' and '.join(FIELDS)}, and the first one "
                f"{' and '.join(fields) or 'neither'}: every line has one of the two, or both, as the first one has."
            )
    return {
        name: Highlights(
            None if line.pred_saliency_scores is None else np.array(line.pred_saliency_scores, dtype=float),
            None if line.pred_relevant_windows is None else _rows(line.pred_relevant_windows),
        )
        for name, line in lines.items()
    }


def is_submission(path: Path) -> bool:
    """Whether a file's first line is one of a submission."""
    _, entry = next(read_jsonl(path), (0, None))
    return isinstance(entry, dict) and "qid" in entry and any(name in entry for name in FIELDS)


def read_queries(path: str | Path) -> dict[str, HighlightQuery]:
    """Read the queries of an official file, of any split, by qid."""
    return read_items(path, HighlightQuery)


def ask_query(item: HighlightQuery) -> Question:
    """The question of a query, asked at the start of its video."""
    return Question(item.qid, item.video, (Query(0.0, item.query),))


def _rows(values: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """float64 [n, 3]."""
    return np.array(values, dtype=float).reshape(-1, 3)


# from predictions


def to_submission(
    predictions: Mapping[str, Prediction], *, window: int = 2, threshold: float = 0.5
) -> dict[str, Highlights]:
    """Turn frame scores into saliency of clips, and windows.

    A clip's saliency is the sum of its frames' smoothed relevance. A window is a run of clips whose saliency, scaled to
    0..1 within the video, reaches the threshold; its score is their mean. (The published code gives no windows.)
    Neither step is causal. For a whole-video baseline, clips that start inside a segment, and not at one of its ends,
    score 1, as published; the segments are the windows.

    Args:
        predictions: Qid -> prediction.
        window: Frames on each side to smooth over; the paper's is 2.
        threshold: Threshold of the scaled saliency, in [0, 1].

    Raises:
        DuetError: A prediction has too few frames, or the window or the threshold is out of range.
    """
    check_threshold(threshold)
    scored = {name: p for name, p in predictions.items() if p.segments is None}
    curves = smooth([_relevance(p) for p in scored.values()], window)
    result = {
        name: _from_curve(curve, prediction, threshold)
        for (name, prediction), curve in zip(scored.items(), curves, strict=True)
    }
    return {name: result[name] if name in result else _from_segments(p) for name, p in predictions.items()}


def _relevance(prediction: Prediction) -> NDArray[np.float64]:
    if len(prediction.trace) < 2:
        raise DuetError(
            f"prediction {prediction.question_id!r} has {len(prediction.trace)} frame scores, and clips of {CLIP:g} s "
            "need at least 2: predict it again, or remove its line."
        )
    return decision_scores(prediction.trace, ("relevance",))


def _from_curve(curve: NDArray[np.float64], prediction: Prediction, threshold: float) -> Highlights:
    saliency = _clip_sums(curve, prediction)
    return Highlights(saliency, _rows(sorted(_runs(scale(saliency), threshold), key=lambda run: -run[2])))


def _clip_sums(curve: NDArray[np.float64], prediction: Prediction) -> NDArray[np.float64]:
    """The sum over each clip's frames: float64 [clips].

    If the frames of a clip are not a whole number, clips differ in their numbers of frames. The sum is then the mean
    times the frames of a clip.
    """
    times = prediction.trace.times
    interval = times[1] - times[0]
    if interval > CLIP:
        raise DuetError(
            f"prediction {prediction.question_id!r} has frames every {interval:g} s; clips of {CLIP:g} s need a "
            f"rate of at least {1 / CLIP:g} frames a second."
        )
    clips = (times / CLIP + 1e-6).astype(int)  # published files add up their times
    sums: NDArray[np.float64] = np.bincount(clips, curve).astype(float)
    counts = np.bincount(clips)
    frames = CLIP / interval
    is_whole = abs(frames - round(frames)) < 1e-3
    return sums if is_whole else sums / np.maximum(counts, 1) * frames


def _runs(scaled: NDArray[np.float64], threshold: float) -> Iterator[tuple[float, float, float]]:
    """(start s, end s, mean) of each run of clips that reach the threshold."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], scaled >= threshold, [0]]).astype(int)))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        yield CLIP * first, CLIP * end, float(scaled[first:end].mean())


def _from_segments(prediction: Prediction) -> Highlights:
    segments = prediction.segments or []
    starts = np.arange(0, max(1, int(prediction.duration)), CLIP)
    saliency = np.zeros(len(starts))
    for segment in segments:
        saliency[(segment.start < starts) & (starts < segment.end)] = 1.0  # both bounds are strict, as published
    return Highlights(saliency, _rows([(s.start, s.end, 1.0) for s in segments]))


# writing


def submission_lines(
    predictions: Mapping[str, Prediction],
    queries: Mapping[str, HighlightQuery] | None = None,
    *,
    window: int = 2,
    threshold: float = 0.5,
) -> list[dict[str, Any]]:
    """Make a line for each query, in the form of the official sample.

    A query without a window gets one of no length, at 0 with score 0.

    Args:
        predictions: Qid -> prediction.
        queries: Qid -> query: the order of the lines, ``query``, ``vid`` and the length. None: all predictions;
            ``query`` is the question that was asked, and ``vid`` is present if the predictions state it.
        window: As for `to_submission`.
        threshold: As for `to_submission`.

    Raises:
        DuetError: A prediction's id is no qid.
    """
    names = list(predictions) if queries is None else [name for name in queries if name in predictions]
    made = to_submission({name: predictions[name] for name in names}, window=window, threshold=threshold)
    return [_line(name, made[name], predictions[name], (queries or {}).get(name)) for name in names]


def write_submission(path: str | Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write the lines, completely or not at all.

    Raises:
        FileError: The file cannot be written.
    """
    write_file(path, "".join(f"{json.dumps(line)}\n" for line in lines))


def export_files(
    predictions: Path,
    output: Path,
    references: Path | None,
    console: Console,
    *,
    window: Window = 2,
    threshold: Threshold = 0.5,
) -> None:
    """Write predictions as an official submission, for the server that has the test split's labels.

    With --references each line has the query and the vid of the official file, and as many saliency scores as the video
    has clips.
    """
    check_target(output, ours=is_submission, inputs=[predictions, *([references] if references else [])])
    found = read_predictions(predictions)
    queries = None if references is None else read_queries(references)
    asked = {name: ask_query(query) for name, query in (queries or {}).items()}
    console.say(str(coverage(found, found.by_id if queries is None else queries, asked)))
    lines = submission_lines(found.by_id, queries, window=window, threshold=threshold)
    write_submission(output, lines)
    console.say(f"{output}: {len(lines)} queries")


def _line(name: str, made: Highlights, prediction: Prediction, query: HighlightQuery | None) -> dict[str, Any]:
    if not (name.isascii() and name.lstrip("-").isdigit()):
        raise DuetError(f"prediction {name!r}: QVHighlights' questions are numbers (qid): give its predictions.")
    asked = prediction.trace.queries[0].text if prediction.trace.queries else ""
    video = query.video if query else prediction.video
    # a file lasts some hundredths of a second longer than the official file states
    duration = query.duration if query else max(prediction.duration - 0.1, CLIP)
    saliency = fitted(made.saliency if made.saliency is not None else np.zeros(1), math.ceil(duration / CLIP))
    windows = made.windows if made.windows is not None else np.empty((0, 3))
    kept = [[start, min(end, duration), score] for start, end, score in windows.tolist() if start < duration]
    return {
        "qid": int(name),
        "query": query.query if query else asked,
        **({"vid": video.removesuffix(".mp4")} if video else {}),
        "pred_relevant_windows": kept[:MOST_WINDOWS] or NO_WINDOW,
        "pred_saliency_scores": saliency.tolist(),
    }


def fitted(saliency: NDArray[np.float64], clips: int) -> NDArray[np.float64]:
    """Cut to the number of clips, or filled with zeros."""
    return np.pad(saliency[:clips], (0, max(0, clips - len(saliency))))
