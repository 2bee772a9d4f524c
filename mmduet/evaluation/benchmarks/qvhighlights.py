"""QVHighlights: how salient every 2-second clip is to a query, and which windows the query is about.

The metrics are the official ones (Lei et al., arXiv 2107.09609, `standalone_eval`), over all queries at once, all in %
(UNITS). `score_highlights` and `score_moments` give them for each query; the official figures are the columns' means,
nan cells left out.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from mmduet.errors import DuetError
from mmduet.evaluation.benchmarks.submission import MOST_WINDOWS, Highlights, fitted, to_submission
from mmduet.evaluation.benchmarks.submission import read_submission as read_submission
from mmduet.evaluation.predictions import Prediction
from mmduet.evaluation.references import CLIP, HighlightItem

RATINGS = {"Fair": 2, "Good": 3, "VeryGood": 4}
RANGES = {"short": (0, 10), "middle": (10, 30), "long": (30, 150), "full": (0, np.inf)}  # s, (min, max]
BOUNDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
WINDOWS = range(15)
_METRICS = (
    *(f"HL-min-{rating}-{metric}" for rating in RATINGS for metric in ("mAP", "Hit1")),
    *(f"MR-{name}-{metric}" for name in RANGES for metric in (
        "mAP", *(f"mAP@{bound}" for bound in BOUNDS), *(f"R1@{bound}" for bound in BOUNDS)
    )),
)  # fmt: skip
UNITS = dict.fromkeys(_METRICS, "%")
CELLS = 1_000_000  # queries times clips, or times windows, that are scored at once: bounds the memory
# %, table 2 of arXiv 2411.17991v2; MMDuet with w = 2
PUBLISHED = {
    "TimeChat": {"HL-min-VeryGood-mAP": 14.5, "HL-min-VeryGood-Hit1": 23.9},
    "VTG-LLM": {"HL-min-VeryGood-mAP": 16.5, "HL-min-VeryGood-Hit1": 33.5},
    "LLaVA-OV-TC": {"HL-min-VeryGood-mAP": 17.6, "HL-min-VeryGood-Hit1": 32.9},
    "LLaVA-OV-VT": {"HL-min-VeryGood-mAP": 19.0, "HL-min-VeryGood-Hit1": 40.0},
    "MMDuet": {"HL-min-VeryGood-mAP": 31.3, "HL-min-VeryGood-Hit1": 49.6},
}


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
    """Both kinds of metrics, %, of an official submission, as far as it has the predictions for them.

    Raises DuetError when it has none of the references' queries.
    """
    if not any(name in references for name in submission):
        raise DuetError(
            f"the submission has none of the {len(references)} queries of the references: give those of the same split."
        )
    tables = []
    if all(item.saliency is not None for item in submission.values()):
        tables.append(score_highlights(submission, references))
    if all(item.windows is not None for item in submission.values()):
        tables.append(score_moments(submission, references))
    if not tables:
        raise DuetError("the submission has neither saliency scores nor windows for every query: give one of them.")
    return pd.concat(tables, axis=1)


def fitted_queries(submission: Mapping[str, Highlights], references: Mapping[str, HighlightItem]) -> list[str]:
    """The queries that have another number of saliency scores than complete clips."""
    return [
        name
        for name, item in references.items()
        if name in submission and (scores := submission[name].saliency) is not None
        if len(scores) != int(item.duration / CLIP)
    ]


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
    for clips, indices in _by_clips([references[name] for name in queries]):
        said = [_saliency(submission[queries[i]]) for i in indices]
        saliency, tops = np.stack([fitted(row, clips) for row in said]), np.array([row.argmax() for row in said])
        ratings = np.stack([_ratings(references[queries[i]], clips) for i in indices])
        for column, least in enumerate(RATINGS.values()):
            positive = ratings >= least
            result[indices, 2 * column] = _average_precision(saliency, positive).mean(1)
            hits = positive[np.arange(len(indices)), np.minimum(tops, clips - 1)].any(1)
            result[indices, 2 * column + 1] = hits & (tops < clips)
    columns = list(_METRICS[: 2 * len(RATINGS)])
    return pd.DataFrame(100 * result, index=pd.Index(queries, name="question_id"), columns=columns)


def _saliency(item: Highlights) -> np.ndarray:
    assert item.saliency is not None
    return item.saliency


def _by_clips(items: Sequence[HighlightItem]) -> Iterator[tuple[int, list[int]]]:
    """(clips, indices of items with so many), no more at once than CELLS.

    As the official code counts them: those that are complete. A last one that is not, and is rated, counts too.
    """
    groups: dict[int, list[int]] = {}
    for index, item in enumerate(items):
        rated = max(item.relevant_clip_ids, default=0) + 1
        groups.setdefault(max(int(item.duration / CLIP), rated), []).append(index)
    for clips, indices in groups.items():
        many = max(1, CELLS // clips)
        for start in range(0, len(indices), many):
            yield clips, indices[start : start + many]


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
    most = max((len(references[name].relevant_windows) for name in queries), default=1)
    many = max(1, CELLS // (len(BOUNDS) * MOST_WINDOWS * max(1, most)))
    parts = [queries[start : start + many] for start in range(0, len(queries), many)]
    return pd.concat([_score_moments(part, submission, references) for part in parts])


def _score_moments(
    queries: Sequence[str], submission: Mapping[str, Highlights], references: Mapping[str, HighlightItem]
) -> pd.DataFrame:
    predicted, there = _stacked([_windows(submission[name]) for name in queries], 3)
    columns: dict[str, np.ndarray] = {}
    for name, (low, high) in RANGES.items():
        golds = [[w for w in references[query].relevant_windows if low < w[1] - w[0] <= high] for query in queries]
        gold, valid = _stacked([np.array(windows) for windows in golds], 2)
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
