"""QVHighlights' official submission files: read, made of predictions, and written.

A line holds `{qid, query, vid, pred_relevant_windows: [[start, end, score]], pred_saliency_scores: [score]}`: times in
s, a saliency score for each clip of 2 s. The official evaluation needs `qid` and the predictions alone.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, Field, Strict, StrictInt

from mmduet.errors import AnnotationError, DuetError
from mmduet.evaluation.metrics.smoothing import check_threshold, smooth
from mmduet.evaluation.predictions import LONGEST, Prediction
from mmduet.evaluation.references import CLIP, HighlightQuery
from mmduet.files import read_jsonl, validated, write_file

MOST_WINDOWS = 10  # of a query; the official evaluation looks at no more
NO_WINDOW = [[0.0, 0.0, 0.0]]  # overlaps with nothing; the official evaluation fails on a query without a window
FIELDS = ("pred_saliency_scores", "pred_relevant_windows")


@dataclass(frozen=True, slots=True)
class Highlights:
    """What a model says of one query, as the official submission has it.

    saliency: float64 [clips], one for each 2 s of the video. windows: float64 [n, 3], start and end in s, score; the
    first is the model's best. None: not said.
    """

    saliency: np.ndarray | None
    windows: np.ndarray | None


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
    """An official submission file: `{qid, pred_saliency_scores?, pred_relevant_windows?}` a line.

    Raises DuetError naming file, line and field where one is not that, where a query comes twice, and where some
    lines lack what others have.
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
        name: Highlights(_array(line.pred_saliency_scores, (-1,)), _array(line.pred_relevant_windows, (-1, 3)))
        for name, line in lines.items()
    }


def is_submission(path: Path) -> bool:
    """Whether a file's first line is one of a submission."""
    _, entry = next(read_jsonl(path), (0, None))
    return isinstance(entry, dict) and "qid" in entry and any(name in entry for name in FIELDS)


def _array(values: Sequence | None, shape: tuple[int, ...]) -> np.ndarray | None:
    return None if values is None else np.array(values, dtype=float).reshape(shape)


# of predictions


def to_submission(
    predictions: Mapping[str, Prediction], *, window: int = 2, threshold: float = 0.5
) -> dict[str, Highlights]:
    """Frame scores -> saliency of clips, and windows.

    A clip's saliency is the sum of its frames' relevance, smoothed over `window` frames on each side (the paper's is
    2). Windows, which the published code does not give, are runs of clips whose saliency, scaled to 0..1 within the
    video, reaches `threshold`, in [0, 1]; their score is the mean of it. Neither step is causal. A whole-video
    baseline's clips score 1 where they start inside a segment, and its segments are its windows.
    Raises DuetError for a prediction with too few frames, and a window or threshold out of range.
    """
    check_threshold(threshold)
    scored = {name: p for name, p in predictions.items() if p.segments is None}
    curves = smooth([_relevance(p) for p in scored.values()], window)
    result = {
        name: _from_curve(curve, prediction, threshold)
        for (name, prediction), curve in zip(scored.items(), curves, strict=True)
    }
    return {name: result[name] if name in result else _from_segments(p) for name, p in predictions.items()}


def _relevance(prediction: Prediction) -> np.ndarray:
    if len(prediction.trace) < 2:
        raise DuetError(
            f"prediction {prediction.question_id!r} has {len(prediction.trace)} frame scores, and clips of {CLIP:g} s "
            "need at least 2: predict it again, or remove its line."
        )
    return prediction.trace.relevance


def _from_curve(curve: np.ndarray, prediction: Prediction, threshold: float) -> Highlights:
    saliency = _clip_sums(curve, prediction)
    low, high = saliency.min(), saliency.max()
    scaled = (saliency - low) / (high - low) if high > low else np.zeros_like(saliency)
    return Highlights(saliency, _array(sorted(_runs(scaled, threshold), key=lambda run: -run[2]), (-1, 3)))


def _clip_sums(curve: np.ndarray, prediction: Prediction) -> np.ndarray:
    """The sum over each clip's frames: float64 [clips].

    Where a clip has no whole number of frames, clips differ in their numbers: then it is the mean times frames a clip.
    """
    times = prediction.trace.times
    interval = times[1] - times[0]
    if interval > CLIP:
        raise DuetError(
            f"prediction {prediction.question_id!r} has frames every {interval:g} s; clips of {CLIP:g} s need a "
            f"rate of at least {1 / CLIP:g} frames a second."
        )
    clips = (times / CLIP + 1e-6).astype(int)  # published files add up their times
    sums, counts = np.bincount(clips, curve), np.bincount(clips)
    frames = CLIP / interval
    is_whole = abs(frames - round(frames)) < 1e-3
    return sums if is_whole else sums / np.maximum(counts, 1) * frames


def _runs(scaled: np.ndarray, threshold: float) -> Iterator[tuple[float, float, float]]:
    """(start s, end s, mean) of the stretches of clips that reach the threshold."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], scaled >= threshold, [0]]).astype(int)))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        yield CLIP * first, CLIP * end, float(scaled[first:end].mean())


def _from_segments(prediction: Prediction) -> Highlights:
    segments = prediction.segments or []
    starts = np.arange(0, max(1, int(prediction.duration)), CLIP)
    saliency = np.zeros(len(starts))
    for segment in segments:
        saliency[(segment.start < starts) & (starts < segment.end)] = 1.0
    return Highlights(saliency, _array([(s.start, s.end, 1.0) for s in segments], (-1, 3)))


# writing


def submission_lines(
    predictions: Mapping[str, Prediction],
    queries: Mapping[str, HighlightQuery] | None = None,
    *,
    window: int = 2,
    threshold: float = 0.5,
) -> list[dict[str, Any]]:
    """A line for each query, as the official sample has it. window, threshold: as of `to_submission`.

    queries: name -> query, as of `read_asked`; they give the lines' order, `query`, `vid` and length. None: all
    predictions; `query` is what was asked, and `vid` is there where the predictions say it.
    A query without a window gets one of no length, at 0 with score 0.
    Raises DuetError for a prediction whose name is no qid.
    """
    names = list(predictions) if queries is None else [name for name in queries if name in predictions]
    made = to_submission({name: predictions[name] for name in names}, window=window, threshold=threshold)
    return [_line(name, made[name], predictions[name], (queries or {}).get(name)) for name in names]


def write_submission(path: str | Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write the lines, complete or not at all. Raises FileError when the file cannot be written."""
    write_file(path, "".join(f"{json.dumps(line)}\n" for line in lines))


def _line(name: str, made: Highlights, prediction: Prediction, query: HighlightQuery | None) -> dict[str, Any]:
    if not (name.isascii() and name.lstrip("-").isdigit()):
        raise DuetError(f"prediction {name!r}: QVHighlights' questions are numbers (qid): give its predictions.")
    asked = prediction.trace.queries[0].text if prediction.trace.queries else ""
    video = query.video if query else prediction.video
    # a file lasts some hundredths of a second longer than the release says
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


def fitted(saliency: np.ndarray, clips: int) -> np.ndarray:
    """Cut, or filled with zeros, to the number of clips."""
    return np.pad(saliency[:clips], (0, max(0, clips - len(saliency))))
