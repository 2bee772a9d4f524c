"""QVHighlights: how salient every 2-second clip is to a query, and which windows the query is about.

The metrics are the official ones (Lei et al., arXiv 2107.09609, `standalone_eval`), over all queries at once.
`score_highlights` and `score_moments` give % for each query; the official figures are the columns' means, nan cells
left out.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mmduet.errors import DuetError
from mmduet.evaluation.predictions import Prediction
from mmduet.evaluation.references import HighlightItem
from mmduet.evaluation.smoothing import smooth

CLIP = 2.0  # s
RATINGS = {"Fair": 2, "Good": 3, "VeryGood": 4}
RANGES = {"short": (0, 10), "middle": (10, 30), "long": (30, 150), "full": (0, np.inf)}  # s, (min, max]
BOUNDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
MOST_WINDOWS = 10
WINDOWS = range(15)
# %, table 2 of arXiv 2411.17991v2; MMDuet with w = 2
PUBLISHED = {
    "TimeChat": {"HL-min-VeryGood-mAP": 14.5, "HL-min-VeryGood-Hit1": 23.9},
    "VTG-LLM": {"HL-min-VeryGood-mAP": 16.5, "HL-min-VeryGood-Hit1": 33.5},
    "LLaVA-OV-TC": {"HL-min-VeryGood-mAP": 17.6, "HL-min-VeryGood-Hit1": 32.9},
    "LLaVA-OV-VT": {"HL-min-VeryGood-mAP": 19.0, "HL-min-VeryGood-Hit1": 40.0},
    "MMDuet": {"HL-min-VeryGood-mAP": 31.3, "HL-min-VeryGood-Hit1": 49.6},
}


@dataclass(frozen=True, slots=True)
class Highlights:
    """What a model says of one query, as the official submission has it.

    saliency: float64 [clips], one for each 2 s of the video. windows: float64 [n, 3], start and end in s, score; the
    first is the model's best. None: not said.
    """

    saliency: np.ndarray | None
    windows: np.ndarray | None


def read_submission(path: str | Path) -> dict[str, Highlights]:
    """An official submission file: `{qid, pred_saliency_scores?, pred_relevant_windows?}` a line.

    Raises DuetError naming file and line where one is not that.
    """
    path, found = Path(path), {}
    if not path.is_file():
        raise DuetError(f"{path} does not exist: correct the path of the submission.")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                entry = json.loads(line)
                found[str(entry["qid"])] = Highlights(
                    _array(entry.get("pred_saliency_scores"), (-1,)),
                    _array(entry.get("pred_relevant_windows"), (-1, 3)),
                )
            except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
                raise DuetError(f"{path}, line {number}: {error!r}; a line has qid and the two predictions.") from error
    return found


def _array(values: Sequence | None, shape: tuple[int, ...]) -> np.ndarray | None:
    return None if values is None else np.array(values, dtype=float).reshape(shape)


def to_submission(
    predictions: Mapping[str, Prediction], *, window: int = 2, threshold: float = 0.5
) -> dict[str, Highlights]:
    """Frame scores -> saliency of clips, and windows.

    A clip's saliency is the sum of its frames' relevance, smoothed over `window` frames on each side (the paper's is
    2). Windows, which the published code does not give, are runs of clips whose saliency, scaled to 0..1 within the
    video, reaches `threshold`; their score is the mean of it. Neither step is causal. A whole-video baseline's clips
    score 1 where they start inside a segment, and its segments are its windows.
    """
    scored = {name: p for name, p in predictions.items() if p.segments is None}
    curves = smooth([_relevance(p) for p in scored.values()], window)
    result = {
        name: _from_curve(curve, _frames_a_clip(prediction), threshold)
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


def _frames_a_clip(prediction: Prediction) -> int:
    interval = prediction.trace.times[1] - prediction.trace.times[0]
    if not 0 < interval <= CLIP:
        raise DuetError(
            f"prediction {prediction.question_id!r} has frames every {interval:g} s; clips of {CLIP:g} s need a "
            f"rate of at least {1 / CLIP:g} frames a second."
        )
    return int(CLIP / interval)


def _from_curve(curve: np.ndarray, frames: int, threshold: float) -> Highlights:
    saliency = np.add.reduceat(curve, range(0, len(curve), frames))
    low, high = saliency.min(), saliency.max()
    scaled = (saliency - low) / (high - low) if high > low else np.zeros_like(saliency)
    return Highlights(saliency, _array(sorted(_runs(scaled, threshold), key=lambda run: -run[2]), (-1, 3)))


def _runs(scaled: np.ndarray, threshold: float) -> Iterator[tuple[float, float, float]]:
    """(start s, end s, mean) of the stretches of clips that reach the threshold."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], scaled >= threshold, [0]]).astype(int)))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        yield CLIP * first, CLIP * end, float(scaled[first:end].mean())


def _from_segments(prediction: Prediction) -> Highlights:
    segments = prediction.segments or []
    starts = np.arange(0, int(prediction.duration), CLIP)
    inside = np.any([(s.start < starts) & (starts < s.end) for s in segments] or [np.zeros(len(starts), bool)], axis=0)
    return Highlights(inside.astype(float), _array([(s.start, s.end, 1.0) for s in segments], (-1, 3)))


def score(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, HighlightItem],
    *,
    window: int = 2,
    threshold: float = 0.5,
) -> pd.DataFrame:
    """Both kinds of metrics, %: a row for each query that is in both."""
    submission = to_submission(
        {name: p for name, p in predictions.items() if name in references}, window=window, threshold=threshold
    )
    return score_submission(submission, references)


def score_submission(submission: Mapping[str, Highlights], references: Mapping[str, HighlightItem]) -> pd.DataFrame:
    """Both kinds of metrics, %, of an official submission, as far as it has the predictions for them."""
    tables = []
    if all(item.saliency is not None for item in submission.values()):
        tables.append(score_highlights(submission, references))
    if all(item.windows is not None for item in submission.values()):
        tables.append(score_moments(submission, references))
    if not tables:
        raise DuetError("the submission has neither saliency scores nor windows for every query: give one of them.")
    return pd.concat(tables, axis=1)


def evaluate(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, HighlightItem],
    *,
    window: int = 2,
    threshold: float = 0.5,
) -> dict[str, float]:
    """The means of `score`, %: the official figures."""
    return score(predictions, references, window=window, threshold=threshold).mean().to_dict()


def sweep(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, HighlightItem],
    *,
    windows: Sequence[int] = WINDOWS,
) -> dict[int, pd.DataFrame]:
    """window -> the highlight metrics with it."""
    there = {name: p for name, p in predictions.items() if name in references}
    return {window: score_highlights(to_submission(there, window=window), references) for window in windows}


# highlights


def score_highlights(submission: Mapping[str, Highlights], references: Mapping[str, HighlightItem]) -> pd.DataFrame:
    """HL-min-RATING-mAP and HL-min-RATING-Hit1, %: average precision of the clips' ranking over three raters, and
    whether the top clip has the rating from any of them.
    """
    queries = [name for name in references if name in submission]
    result = np.full((len(queries), 2 * len(RATINGS)), np.nan)
    by_clips: dict[int, list[int]] = {}
    for index, name in enumerate(queries):
        by_clips.setdefault(int(references[name].duration / CLIP), []).append(index)
    for clips, indices in by_clips.items():
        said = [_saliency(submission[queries[i]]) for i in indices]
        saliency, tops = np.stack([_fitted(row, clips) for row in said]), np.array([row.argmax() for row in said])
        ratings = np.stack([_ratings(references[queries[i]], clips) for i in indices])
        for column, least in enumerate(RATINGS.values()):
            positive = ratings >= least
            result[indices, 2 * column] = _average_precision(saliency, positive).mean(1)
            hits = positive[np.arange(len(indices)), np.minimum(tops, clips - 1)].any(1)
            result[indices, 2 * column + 1] = hits & (tops < clips)
    columns = [f"HL-min-{rating}-{metric}" for rating in RATINGS for metric in ("mAP", "Hit1")]
    return pd.DataFrame(100 * result, index=pd.Index(queries, name="question_id"), columns=columns)


def _saliency(item: Highlights) -> np.ndarray:
    assert item.saliency is not None
    return item.saliency


def _fitted(saliency: np.ndarray, clips: int) -> np.ndarray:
    """Cut, or filled with zeros, to the number of clips."""
    return np.pad(saliency[:clips], (0, max(0, clips - len(saliency))))


def _ratings(item: HighlightItem, clips: int) -> np.ndarray:
    """int [clips, 3]; 0 on clips that nobody found relevant."""
    ratings = np.zeros((clips, 3), dtype=int)
    if item.relevant_clip_ids:
        ratings[item.relevant_clip_ids] = item.saliency_scores
    return ratings


def _average_precision(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Interpolated average precision. scores: [Q, clips]. positive: bool [Q, clips, raters]. Returns [Q, raters].

    The mean, over the ranks at which new positives are found, of the best precision at that rank or a later one;
    clips with equal scores share a rank. 0 without positives.
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, 1)
    found = np.take_along_axis(positive, order[..., None], 1).cumsum(1)
    last_of_tie = np.concatenate([ranked[:, 1:] != ranked[:, :-1], np.ones((len(ranked), 1), bool)], axis=1)[..., None]
    precision = np.where(last_of_tie, found / np.arange(1, scores.shape[1] + 1)[:, None], 0.0)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # found at the last rank before this one
    at_ends = np.maximum.accumulate(np.where(last_of_tie, found, 0), axis=1)
    before = np.concatenate([np.zeros_like(at_ends[:, :1]), at_ends[:, :-1]], axis=1)
    counts = last_of_tie & (found > before)
    return np.divide((best * counts).sum(1), counts.sum(1), out=np.zeros(best[:, 0].shape), where=counts.any(1))


# moments


def score_moments(submission: Mapping[str, Highlights], references: Mapping[str, HighlightItem]) -> pd.DataFrame:
    """MR-RANGE-mAP, MR-RANGE-mAP@IOU and MR-RANGE-R1@IOU, %, for windows of each range of lengths.

    nan where a query has no gold window of that length. A query for which nothing was predicted scores 0 (the
    official code leaves it out of mAP and fails on R1).
    """
    queries = [name for name in references if name in submission]
    predicted, there = _stacked([_windows(submission[name]) for name in queries], 3)
    columns: dict[str, np.ndarray] = {}
    for name, (low, high) in RANGES.items():
        gold, valid = _stacked(
            [np.array([w for w in references[q].relevant_windows if low < w[1] - w[0] <= high]) for q in queries], 2
        )
        measured = valid.any(axis=1, keepdims=True)
        precision = np.where(measured, _detection_precision(predicted, there, gold, valid), np.nan)
        recall = np.where(measured, _recall_at_one(predicted, there, gold, valid), np.nan)
        columns[f"MR-{name}-mAP"] = precision.mean(1)
        columns |= {f"MR-{name}-mAP@{bound}": precision[:, i] for i, bound in enumerate(BOUNDS)}
        columns |= {f"MR-{name}-R1@{bound}": recall[:, i] for i, bound in enumerate(BOUNDS)}
    return 100 * pd.DataFrame(columns, index=pd.Index(queries, name="question_id"))


def _windows(item: Highlights) -> np.ndarray:
    """The first 10, [n, 3]."""
    assert item.windows is not None
    return item.windows[:MOST_WINDOWS]


def _stacked(rows: Sequence[np.ndarray], width: int) -> tuple[np.ndarray, np.ndarray]:
    """[n, width] each -> float64 [Q, most, width], bool [Q, most]: which are there."""
    result = np.zeros((len(rows), max(1, *(len(row) for row in rows)), width))
    there = np.zeros(result.shape[:2], dtype=bool)
    for into, valid, row in zip(result, there, rows, strict=True):
        if len(row):
            into[: len(row)], valid[: len(row)] = row, True
    return result, there


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of windows [..., 2], broadcast; 0 where both are empty."""
    shared = np.maximum(0, np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0]))
    union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - shared
    return np.divide(shared, union, out=np.zeros(union.shape), where=union > 0)


def _recall_at_one(predicted: np.ndarray, there: np.ndarray, gold: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """[Q, bounds]: whether the first window has at least that IoU with one of the gold windows."""
    best = np.where(valid, _iou(predicted[:, :1, :2], gold), 0).max(1)
    return (best[:, None] >= np.array(BOUNDS)) & there[:, :1]


def _detection_precision(predicted: np.ndarray, there: np.ndarray, gold: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """[Q, bounds]: interpolated average precision; every gold window is found once, by the best-scored window that
    reaches the bound and has no better free one.
    """
    order = np.argsort(np.where(there, -predicted[..., 2], np.inf), axis=1, kind="stable")
    predicted, there = np.take_along_axis(predicted, order[..., None], 1), np.take_along_axis(there, order, 1)
    iou = np.where(valid[:, None], _iou(predicted[:, :, None, :2], gold[:, None]), -1.0)
    free = np.repeat(valid[:, None], len(BOUNDS), axis=1)
    right = np.zeros((len(predicted), len(BOUNDS), predicted.shape[1]), dtype=bool)
    rows = np.arange(len(predicted))[:, None]
    for rank in range(predicted.shape[1]):
        reached = (iou[:, None, rank] >= np.array(BOUNDS)[:, None]) & free & there[:, rank, None, None]
        choice = np.where(reached, iou[:, None, rank], -1.0).argmax(2)
        right[:, :, rank] = reached.any(2)
        free[rows, np.arange(len(BOUNDS)), choice] &= ~right[:, :, rank]
    precision = right.cumsum(2) / np.maximum(1, there.cumsum(1))[:, None]
    best = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    return (best * right).sum(2) / np.maximum(1, valid.sum(1))[:, None]
