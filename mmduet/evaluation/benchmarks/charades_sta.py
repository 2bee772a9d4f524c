"""Charades-STA: which frames a query is about, measured as the IoU of two sets of frames.

The relevance scores are smoothed, scaled to 0..1 within the video, and cut at a threshold (MMDuet, arXiv 2411.17991,
and its published evaluation). Neither the smoothing nor the scaling is causal: a live model does not know the frames
to come.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmduet.errors import DuetError
from mmduet.evaluation.benchmark import Benchmark, Console, Metric, Settings
from mmduet.evaluation.benchmarks.charades_log import (
    Threshold,
    Window,
    export_files,
    logged_questions,
    read_charades,
)
from mmduet.evaluation.coverage import read_matched
from mmduet.evaluation.items import AskedItem, GroundedItem
from mmduet.evaluation.metrics.bootstrap import estimate_means, means
from mmduet.evaluation.metrics.smoothing import check_threshold, scale, smooth
from mmduet.evaluation.metrics.split import halves
from mmduet.evaluation.metrics.timing import covered
from mmduet.evaluation.prediction_file import Prediction
from mmduet.evaluation.text_times import Segment
from mmduet.policy import decision_scores

WINDOWS = range(15)
THRESHOLDS = np.arange(0.30, 0.71, 0.02)
RECALL_AT = (0.3, 0.5, 0.7)
METRICS = ("mIoU", *(f"R@{bound}" for bound in RECALL_AT))
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
    iou: NDArray[np.float64]

    @property
    def undivided(self) -> str:
        """Why no setting can be chosen on some videos and measured on others; empty if one can."""
        if len(set(self.videos)) > 1:
            return ""
        return (
            f"all {len(self.questions)} questions are about one video: nothing is left to choose window and threshold "
            "on, so no setting is chosen."
        )

    def table(self) -> pd.DataFrame:
        """The metrics, %: one row for each (window, threshold)."""
        index = pd.MultiIndex.from_product([self.windows, self.thresholds], names=["window", "threshold"])
        return pd.DataFrame(_metrics(self.iou).mean(-2).reshape(len(index), -1), index=index, columns=METRICS)

    def best_per_question(self, window: int) -> dict[str, float]:
        """The metrics, %, with the best threshold of each question.

        The published code prints them. No system can reach them without the answers.
        """
        best = self.iou[self.windows.index(window)].max(0)
        return dict(zip(METRICS, _metrics(best).mean(0).tolist(), strict=True))


def sweep(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, GroundedItem],
    *,
    windows: Sequence[int] = WINDOWS,
    thresholds: Sequence[float] | NDArray[np.float64] = THRESHOLDS,
) -> Sweep:
    """Measure every question that has both a prediction and a reference, with every setting.

    Args:
        predictions: Question id -> prediction.
        references: Question id -> item.
        windows: Frames on each side to smooth over.
        thresholds: Thresholds of the smoothed and scaled scores, in [0, 1].

    Raises:
        DuetError: A prediction has no frame scores, or a window or threshold is out of range.
    """
    for threshold in thresholds:
        check_threshold(threshold)
    questions = [name for name in references if name in predictions]
    curves = [_curve(predictions[name]) for name in questions]
    relevant = _relevant_frames(questions, predictions, references)
    valid = _padded([np.ones(len(curve)) for curve in curves], bool)
    iou = np.empty((len(windows), len(thresholds), len(questions)))
    for row, window in zip(iou, windows, strict=True):
        scaled = _padded([scale(curve) for curve in smooth(curves, window)], float)
        for cell, threshold in zip(row, thresholds, strict=True):
            chosen = (scaled >= threshold) & valid
            union = (chosen | relevant).sum(1)
            cell[:] = np.divide((chosen & relevant).sum(1), union, out=np.zeros(len(union)), where=union > 0)
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
    window: Window = 6,
    threshold: Threshold = 0.5,
) -> pd.DataFrame:
    """Score every question that has both a prediction and a reference.

    A whole-video baseline is measured by the temporal IoU of its first segment with the union of the reference spans.
    (The published code takes the first span alone, and adds a second to both lengths.)

    Returns:
        METRICS, %: mIoU, and R@IoU >= 0.3, 0.5, 0.7.
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
    return means(score(predictions, references, window=window, threshold=threshold))


def choose_setting(swept: Sweep, *, metric: str = "R@0.5", seed: int = 0) -> tuple[int, float, pd.DataFrame]:
    """Choose window and threshold on one half of the videos, and measure them on the other.

    The published figures choose them on the questions that they report.

    Returns:
        The window, the threshold, and the scores of the other half.

    Raises:
        DuetError: The metric is not known, or all questions are about one video.
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


def segment_iou(segments: Sequence[Segment] | None, spans: Sequence[tuple[float, float]]) -> float:
    """IoU in time of the first segment and the union of the spans, in [0, 1]; 0 without a segment."""
    if not segments:
        return 0.0
    start, end = segments[0].start, segments[0].end
    due = [(*span, "") for span in spans]
    shared, _ = covered(due, start, end)
    union = (end - start) + covered(due, 0.0, math.inf)[0] - shared
    return shared / union if union > 0 else 0.0


def _baseline_iou(prediction: Prediction, item: GroundedItem) -> float:
    if prediction.segments is None:
        raise DuetError(
            f"prediction {prediction.question_id!r} is not of a whole-video baseline, and others are: give one kind."
        )
    return segment_iou(prediction.segments, item.timestamps)


def _curve(prediction: Prediction) -> NDArray[np.float64]:
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
    return decision_scores(prediction.trace, ("relevance",))


def _relevant_frames(
    questions: Sequence[str], predictions: Mapping[str, Prediction], references: Mapping[str, GroundedItem]
) -> NDArray[np.bool_]:
    """Start <= time <= end of a reference span: bool [questions, frames]."""
    masks = []
    for name in questions:
        times = predictions[name].trace.times
        masks.append(np.any([(s <= times) & (times <= e) for s, e in references[name].timestamps], axis=0))
    return _padded(masks, bool)


def _padded(rows: Sequence[NDArray[Any]], dtype: type) -> NDArray[Any]:
    """[n] each -> [m, longest], filled with zeros (or False)."""
    result: NDArray[Any] = np.zeros((len(rows), max(map(len, rows), default=0)), dtype=dtype)
    for into, row in zip(result, rows, strict=True):
        into[: len(row)] = row
    return result


def _metrics(iou: NDArray[np.float64]) -> NDArray[np.float64]:
    """[...] -> [..., 4], %."""
    return 100 * np.stack([iou, *((iou >= bound).astype(float) for bound in RECALL_AT)], axis=-1)


def evaluate_files(
    predictions: Path,
    references: Path,
    console: Console,
    *,
    window: Window = 6,
    threshold: Threshold = 0.5,
    sweep: Annotated[bool, "Also every window and threshold, and a choice of them on other videos."] = False,
) -> pd.DataFrame:
    """Work of `mmduet evaluate charades_sta`.

    The predictions may be a sample log of lmms-eval, whose times are then read as lmms-eval reads them. A log is also
    a test file.
    """
    found, items = read_matched(CHARADES_STA, predictions, references, console.say)
    if sweep:
        _say_sweep(found, items, console)
    console.say(f"window {window}, threshold {threshold}:")
    return score(found, items, window=window, threshold=threshold)


def _say_sweep(predictions: Mapping[str, Prediction], references: Mapping[str, GroundedItem], console: Console) -> None:
    swept = sweep(predictions, references)
    console.say(f"every window and threshold, %:\n{swept.table().to_string(float_format='%.2f')}\n")
    if swept.undivided:
        console.say(swept.undivided)
        return
    window, threshold, held_out = choose_setting(swept)
    console.say(
        f"window {window}, threshold {threshold:.2f} are best by R@0.5 on half of the videos;\n"
        f"on the other half, {len(held_out)} questions:"
    )
    console.show(estimate_means(held_out), CHARADES_STA.units)


CHARADES_STA = Benchmark(
    name="charades_sta",
    title="Charades-STA",
    summary="mIoU and R@IoU of the frames that relevance chooses",
    item=GroundedItem,
    asked=AskedItem,
    settings=Settings(frame_fps=2.0),
    score=score,
    metrics=dict.fromkeys(METRICS, Metric("%")),
    published=PUBLISHED,
    command=evaluate_files,
    entries=logged_questions,
    read=read_charades,
    export=export_files,
    scenes="test_charades_sta.json",
)
UNITS = CHARADES_STA.units
