"""QVHighlights: how salient every clip of 2 seconds is to a query, and which windows the query is about.

The metrics are the official ones (Lei et al., arXiv 2107.09609, ``standalone_eval``), all in %. `score_highlights` and
`score_moments` give them for each query. The official figures are the means of the columns, without NaN cells.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmduet.errors import DuetError
from mmduet.evaluation.benchmark import Benchmark, Console, Metric, Settings
from mmduet.evaluation.benchmarks.submission import (
    MOST_WINDOWS,
    Highlights,
    Threshold,
    Window,
    ask_query,
    export_files,
    fitted,
    read_submission,
    to_submission,
)
from mmduet.evaluation.coverage import read_matched
from mmduet.evaluation.items import CLIP, HighlightItem, HighlightQuery, read_items
from mmduet.evaluation.metrics.bootstrap import means
from mmduet.evaluation.metrics.intervals import interval_iou
from mmduet.evaluation.prediction_file import Prediction

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

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
CELLS = 1_000_000  # queries times clips (or windows) that are scored at once: bounds the memory
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
    window: Window = 2,
    threshold: Threshold = 0.5,
) -> pd.DataFrame:
    """Score every query that has both a prediction and a reference: both kinds of metrics, %."""
    submission = to_submission(
        {name: p for name, p in predictions.items() if name in references}, window=window, threshold=threshold
    )
    return score_submission(submission, references)


def score_submission(submission: Mapping[str, Highlights], references: Mapping[str, HighlightItem]) -> pd.DataFrame:
    """Score an official submission: the kinds of metrics that it has predictions for, %.

    Raises:
        DuetError: The submission has none of the references' queries, or neither kind of prediction for all.
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
    """The queries whose number of saliency scores differs from their number of complete clips."""
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
    return means(score(predictions, references, window=window, threshold=threshold))


def sweep(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, HighlightItem],
    *,
    windows: Sequence[int] = WINDOWS,
) -> dict[int, pd.DataFrame]:
    """Window -> the highlight metrics with it."""
    present = {name: p for name, p in predictions.items() if name in references}
    return {window: score_highlights(to_submission(present, window=window), references) for window in windows}


# highlights


def score_highlights(submission: Mapping[str, Highlights], references: Mapping[str, HighlightItem]) -> pd.DataFrame:
    """Highlight metrics of each query, %.

    HL-min-RATING-mAP is the average precision of the clips' ranking, the mean over three raters. HL-min-RATING-Hit1 is
    whether any of them gave the top clip that rating.
    """
    queries = [name for name in references if name in submission]
    result = np.full((len(queries), 2 * len(RATINGS)), np.nan)
    for clips, indices in _by_clips([references[name] for name in queries]):
        predicted = [_saliency(submission[queries[i]]) for i in indices]
        saliency = np.stack([fitted(row, clips) for row in predicted])
        tops = np.array([row.argmax() for row in predicted])
        ratings = np.stack([_ratings(references[queries[i]], clips) for i in indices])
        for column, least in enumerate(RATINGS.values()):
            positive = ratings >= least
            result[indices, 2 * column] = _average_precision(saliency, positive).mean(1)
            hits = positive[np.arange(len(indices)), np.minimum(tops, clips - 1)].any(1)
            result[indices, 2 * column + 1] = hits & (tops < clips)
    columns = list(_METRICS[: 2 * len(RATINGS)])
    return pd.DataFrame(100 * result, index=pd.Index(queries, name="question_id"), columns=columns)


def _saliency(item: Highlights) -> Array:
    assert item.saliency is not None
    return item.saliency


def _by_clips(items: Sequence[HighlightItem]) -> Iterator[tuple[int, list[int]]]:
    """(number of clips, indices of the items with that number), at most CELLS at once.

    Complete clips count, as in the official code. An incomplete last clip counts if it is rated.
    """
    groups: dict[int, list[int]] = {}
    for index, item in enumerate(items):
        rated = max(item.relevant_clip_ids, default=0) + 1
        groups.setdefault(max(int(item.duration / CLIP), rated), []).append(index)
    for clips, indices in groups.items():
        many = max(1, CELLS // clips)
        for start in range(0, len(indices), many):
            yield clips, indices[start : start + many]


def _ratings(item: HighlightItem, clips: int) -> NDArray[np.int_]:
    """The raters' stars: int [clips, 3]; 0 on clips that are not relevant."""
    ratings = np.zeros((clips, 3), dtype=int)
    if item.relevant_clip_ids:
        ratings[item.relevant_clip_ids] = item.saliency_scores
    return ratings


def _average_precision(scores: Array, positive: Mask) -> Array:
    """Interpolated average precision. scores: [Q, clips]. positive: bool [Q, clips, raters]. Returns [Q, raters].

    The mean, over the ranks at which new positives are found, of the best precision at that rank or a later one. Clips
    with equal scores share a rank. 0 without positives.
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
    total = counts.sum(1)
    average: Array = np.divide((best * counts).sum(1), total, out=np.zeros(best[:, 0].shape), where=counts.any(1))
    return average


# moments


def score_moments(submission: Mapping[str, Highlights], references: Mapping[str, HighlightItem]) -> pd.DataFrame:
    """Moment-retrieval metrics of each query, %: MR-RANGE-mAP, MR-RANGE-mAP@IOU and MR-RANGE-R1@IOU.

    RANGE is a range of lengths of reference windows. NaN if a query has no reference window of that length. A query
    without predictions scores 0. (The official code leaves it out of mAP and fails on R1.)
    """
    queries = [name for name in references if name in submission]
    most = max((len(references[name].relevant_windows) for name in queries), default=1)
    many = max(1, CELLS // (len(BOUNDS) * MOST_WINDOWS * max(1, most)))
    parts = [queries[start : start + many] for start in range(0, len(queries), many)]
    return pd.concat([_score_moments(part, submission, references) for part in parts])


def _score_moments(
    queries: Sequence[str], submission: Mapping[str, Highlights], references: Mapping[str, HighlightItem]
) -> pd.DataFrame:
    predicted, present = _stacked([_windows(submission[name]) for name in queries], 3)
    columns: dict[str, Array] = {}
    for name, (low, high) in RANGES.items():
        relevant = [[w for w in references[query].relevant_windows if low < w[1] - w[0] <= high] for query in queries]
        reference, valid = _stacked([np.array(windows) for windows in relevant], 2)
        measured = valid.any(axis=1, keepdims=True)
        precision = np.where(measured, _detection_precision(predicted, present, reference, valid), np.nan)
        recall = np.where(measured, _recall_at_one(predicted, present, reference, valid), np.nan)
        columns[f"MR-{name}-mAP"] = precision.mean(1)
        columns |= {f"MR-{name}-mAP@{bound}": precision[:, i] for i, bound in enumerate(BOUNDS)}
        columns |= {f"MR-{name}-R1@{bound}": recall[:, i] for i, bound in enumerate(BOUNDS)}
    return 100 * pd.DataFrame(columns, index=pd.Index(queries, name="question_id"))


def _windows(item: Highlights) -> Array:
    """The first 10, [n, 3]."""
    assert item.windows is not None
    return item.windows[:MOST_WINDOWS]


def _stacked(rows: Sequence[Array], width: int) -> tuple[Array, Mask]:
    """[n, width] each -> float64 [Q, most, width], bool [Q, most]: which are present."""
    result = np.zeros((len(rows), max(1, *(len(row) for row in rows)), width))
    present = np.zeros(result.shape[:2], dtype=bool)
    for into, valid, row in zip(result, present, rows, strict=True):
        if len(row):
            into[: len(row)], valid[: len(row)] = row, True
    return result, present


def _recall_at_one(predicted: Array, present: Mask, reference: Array, valid: Mask) -> Mask:
    """Whether the first window has at least that IoU with a reference window: bool [Q, bounds]."""
    best = np.where(valid, interval_iou(predicted[:, :1, :2], reference), 0).max(1)
    found: Mask = (best[:, None] >= np.array(BOUNDS)) & present[:, :1]
    return found


def _detection_precision(predicted: Array, present: Mask, reference: Array, valid: Mask) -> Array:
    """[Q, bounds]: interpolated average precision.

    Each reference window is found once: by the window with the highest score that reaches the bound. A window finds the
    free reference window with the highest IoU.
    """
    order = np.argsort(np.where(present, -predicted[..., 2], np.inf), axis=1, kind="stable")
    predicted, present = np.take_along_axis(predicted, order[..., None], 1), np.take_along_axis(present, order, 1)
    iou = np.where(valid[:, None], interval_iou(predicted[:, :, None, :2], reference[:, None]), -1.0)
    free = np.repeat(valid[:, None], len(BOUNDS), axis=1)
    correct = np.zeros((len(predicted), len(BOUNDS), predicted.shape[1]), dtype=bool)
    rows = np.arange(len(predicted))[:, None]
    for rank in range(predicted.shape[1]):
        reached = (iou[:, None, rank] >= np.array(BOUNDS)[:, None]) & free & present[:, rank, None, None]
        choice = np.where(reached, iou[:, None, rank], -1.0).argmax(2)
        correct[:, :, rank] = reached.any(2)
        free[rows, np.arange(len(BOUNDS)), choice] &= ~correct[:, :, rank]
    precision = correct.cumsum(2) / np.maximum(1, present.cumsum(1))[:, None]
    best = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    average: Array = (best * correct).sum(2) / np.maximum(1, valid.sum(1))[:, None]
    return average


# the benchmark


def evaluate_files(
    predictions: Path,
    references: Path,
    console: Console,
    *,
    window: Window = 2,
    threshold: Threshold = 0.5,
    submission: Annotated[bool, "The predictions are an official submission file."] = False,
) -> pd.DataFrame:
    """Work of `mmduet evaluate qvhighlights`."""
    if submission:
        items = read_items(references, HighlightItem)
        predicted = read_submission(predictions)
        scores = score_submission(predicted, items)
        if others := fitted_queries(predicted, items):
            console.say(
                f"{len(others)} queries have another number of saliency scores than clips, such as {others[0]}: cut "
                "or filled with 0, as the official code does"
            )
    else:
        found, items = read_matched(QVHIGHLIGHTS, predictions, references, console.say)
        scores = score(found, items, window=window, threshold=threshold)
    console.say(f"{len(scores)} of {len(items)} queries:")
    return scores


QVHIGHLIGHTS = Benchmark(
    name="qvhighlights",
    title="QVHighlights",
    summary="the official highlight and moment-retrieval metrics",
    item=HighlightItem,
    asked=HighlightQuery,
    question=ask_query,
    settings=Settings(frame_fps=1.0),
    score=score,
    metrics=dict.fromkeys(_METRICS, Metric("%", optional=True)),  # a submission may have one kind alone
    headline=_METRICS[: 2 * len(RATINGS)],
    published=PUBLISHED,
    command=evaluate_files,
    export=export_files,
    scenes="test_qvhighlights.jsonl",
)
UNITS = QVHIGHLIGHTS.units
