"""Charades-STA: which frames a query is about, as the IoU of two sets of frames.

The relevance scores are smoothed, then scaled to 0..1 within the video, then cut at a threshold (MMDuet, arXiv
2411.17991, and its published evaluation). Neither the smoothing nor the scaling is causal: a live model cannot know
the frames to come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmduet.errors import DuetError
from mmduet.evaluation.metrics.smoothing import check_threshold, smooth
from mmduet.evaluation.metrics.split import halves
from mmduet.evaluation.predictions import Prediction, Segment
from mmduet.evaluation.references import GroundedItem

WINDOWS = range(15)
THRESHOLDS = np.arange(0.30, 0.71, 0.02)
RECALL_AT = (0.3, 0.5, 0.7)
METRICS = ("mIoU", *(f"R@{bound}" for bound in RECALL_AT))
UNITS = dict.fromkeys(METRICS, "%")
# %, table 2 of arXiv 2411.17991v2; MMDuet with w = 6
PUBLISHED = {
    "TimeChat": {"R@0.5": 32.2, "R@0.7": 13.4},
    "VTimeLLM": {"R@0.5": 31.2, "R@0.7": 11.4},
    "HawkEye": {"R@0.5": 31.4, "R@0.7": 14.5},
    "VTG-LLM": {"R@0.5": 33.8, "R@0.7": 15.7},
    "LLaVA-OV-TC": {"R@0.5": 33.1, "R@0.7": 12.4},
    "LLaVA-OV-VT": {"R@0.5": 36.5, "R@0.7": 12.3},
    "MMDuet": {"R@0.5": 42.4, "R@0.7": 18.0},
}


@dataclass(frozen=True, slots=True)
class Sweep:
    """Every setting on every question. iou: float64 [windows, thresholds, questions], in [0, 1]."""

    questions: tuple[str, ...]
    videos: tuple[str, ...]
    windows: tuple[int, ...]
    thresholds: tuple[float, ...]
    iou: np.ndarray

    @property
    def undivided(self) -> str:
        """Why no setting can be chosen on some videos and measured on others; empty where one can."""
        if len(set(self.videos)) > 1:
            return ""
        return (
            f"all {len(self.questions)} questions are about one video: nothing is left to choose window and threshold "
            "on, so no setting is chosen."
        )

    def table(self) -> pd.DataFrame:
        """The metrics, %, one row for each (window, threshold)."""
        index = pd.MultiIndex.from_product([self.windows, self.thresholds], names=["window", "threshold"])
        return pd.DataFrame(_metrics(self.iou).mean(-2).reshape(len(index), -1), index=index, columns=METRICS)

    def best_per_question(self, window: int) -> dict[str, float]:
        """The metrics, %, with each question's own best threshold: printed by the published code, and no figure that
        any system could reach without the answers.
        """
        best = self.iou[self.windows.index(window)].max(0)
        return dict(zip(METRICS, _metrics(best).mean(0).tolist(), strict=True))


def sweep(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, GroundedItem],
    *,
    windows: Sequence[int] = WINDOWS,
    thresholds: Sequence[float] | np.ndarray = THRESHOLDS,
) -> Sweep:
    """IoU of every question that is in both, at every window (frames on each side) and threshold (in [0, 1]).

    Raises DuetError for a prediction without frame scores, and a window or threshold out of range.
    """
    for threshold in thresholds:
        check_threshold(threshold)
    questions = [name for name in references if name in predictions]
    curves = [_curve(predictions[name]) for name in questions]
    gold, valid = _gold(questions, predictions, references), _padded([np.ones(len(c)) for c in curves], bool)
    iou = np.empty((len(windows), len(thresholds), len(questions)))
    for row, window in zip(iou, windows, strict=True):
        scaled = _padded([scale(curve) for curve in smooth(curves, window)], float)
        for cell, threshold in zip(row, thresholds, strict=True):
            chosen = (scaled >= threshold) & valid
            union = (chosen | gold).sum(1)
            cell[:] = np.divide((chosen & gold).sum(1), union, out=np.zeros(len(union)), where=union > 0)
    return Sweep(
        tuple(questions),
        tuple(references[name].video for name in questions),
        tuple(windows),
        tuple(float(threshold) for threshold in thresholds),
        iou,
    )


def score(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, GroundedItem],
    *,
    window: int = 6,
    threshold: float = 0.5,
) -> pd.DataFrame:
    """mIoU and R@IoU >= 0.3, 0.5, 0.7, %: a row for each question that is in both, a column a metric.

    window: frames on each side to smooth over; the paper's is 6. threshold: in [0, 1], of the scaled scores.
    A whole-video baseline is measured by its first segment's temporal IoU with the gold spans (the published code
    adds a second to both lengths).
    """
    if any(prediction.segments is not None for prediction in predictions.values()):
        questions = [name for name in references if name in predictions]
        iou = np.array([_baseline_iou(predictions[name], references[name]) for name in questions])
    else:
        swept = sweep(predictions, references, windows=[window], thresholds=[threshold])
        questions, iou = list(swept.questions), swept.iou[0, 0]
    return pd.DataFrame(_metrics(iou), index=pd.Index(questions, name="question_id"), columns=METRICS)


def evaluate(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, GroundedItem],
    *,
    window: int = 6,
    threshold: float = 0.5,
) -> dict[str, float]:
    """The means of `score`, %."""
    return score(predictions, references, window=window, threshold=threshold).mean().to_dict()


def choose_setting(swept: Sweep, *, metric: str = "R@0.5", seed: int = 0) -> tuple[int, float, pd.DataFrame]:
    """The window and threshold that are best on one half of the videos, and the other half's scores with them.

    The published figures choose on the very questions that they report.
    Raises DuetError for an unknown metric, and when all questions are about one video.
    """
    if metric not in METRICS:
        raise DuetError(f"metric={metric!r} is not known; known are {METRICS}.")
    if swept.undivided:
        raise DuetError(swept.undivided)
    first, second = halves(swept.videos, seed=seed)
    figures = _metrics(swept.iou[..., first]).mean(-2)[..., METRICS.index(metric)]
    w, t = np.unravel_index(figures.argmax(), figures.shape)
    questions = pd.Index([swept.questions[i] for i in second], name="question_id")
    held_out = pd.DataFrame(_metrics(swept.iou[w, t, second]), index=questions, columns=METRICS)
    return swept.windows[w], swept.thresholds[t], held_out


def scale(curve: np.ndarray) -> np.ndarray:
    """To 0..1 within the video; all 0 where every score is the same."""
    low, high = curve.min(), curve.max()
    return (curve - low) / (high - low) if high > low else np.zeros_like(curve)


def segment_iou(segments: Sequence[Segment] | None, spans: Sequence[tuple[float, float]]) -> float:
    """Of the first segment and the spans together, in [0, 1]; 0 without a segment. Spans do not overlap."""
    if not segments:
        return 0.0
    start, end = segments[0].start, segments[0].end
    shared = sum(max(0.0, min(end, last) - max(start, first)) for first, last in spans)
    union = (end - start) + sum(last - first for first, last in spans) - shared
    return shared / union if union > 0 else 0.0


def _baseline_iou(prediction: Prediction, item: GroundedItem) -> float:
    if prediction.segments is None:
        raise DuetError(
            f"prediction {prediction.question_id!r} is of no whole-video baseline, and others are: give one kind."
        )
    return segment_iou(prediction.segments, item.timestamps)


def _curve(prediction: Prediction) -> np.ndarray:
    if prediction.segments is not None:
        raise DuetError(
            f"prediction {prediction.question_id!r} is of a whole-video baseline, which has no frame scores: nothing "
            "depends on window and threshold."
        )
    if not len(prediction.trace):
        raise DuetError(
            f"prediction {prediction.question_id!r} has no frame scores (debug_data is empty): predict it again, or "
            "remove its line."
        )
    return prediction.trace.relevance


def _gold(questions: Sequence[str], predictions: Mapping, references: Mapping[str, GroundedItem]) -> np.ndarray:
    """bool [questions, frames]: s <= t <= e."""
    masks = []
    for name in questions:
        times = predictions[name].trace.times
        masks.append(np.any([(s <= times) & (times <= e) for s, e in references[name].timestamps], axis=0))
    return _padded(masks, bool)


def _padded(rows: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    """[n] each -> [m, longest], zeros (or False) behind."""
    result: np.ndarray = np.zeros((len(rows), max(map(len, rows), default=0)), dtype=dtype)
    for into, row in zip(result, rows, strict=True):
        into[: len(row)] = row
    return result


def _metrics(iou: np.ndarray) -> np.ndarray:
    """[...] -> [..., 4], %."""
    return 100 * np.stack([iou, *((iou >= bound).astype(float) for bound in RECALL_AT)], axis=-1)
