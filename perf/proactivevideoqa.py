"""How long ProactiveVideoQA takes at its full size, beside a plain loop.

    python perf/proactivevideoqa.py

1,427 questions with 3,510 reference answers and 8 replies in the span of each, drawn by a seed; a judge's answers are
given. Both sides give the same PAUC at three ω and the same duplicates, which is checked. Ours also reads each pair's
texts, computes the other metrics, and draws bootstrap intervals. Seconds are the processor's, so that other work on the
machine does not count. Threads: one.
"""

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

from typing import Annotated

import numpy as np
import typer
from stopwatch import timed

from mmduet.evaluation.benchmarks.proactive.items import ProactiveItem
from mmduet.evaluation.benchmarks.proactive.scores import question_scores, turn_scores
from mmduet.evaluation.benchmarks.proactive.turns import coverage_pairs, duplicate_pairs, turns_of
from mmduet.evaluation.benchmarks.proactivevideoqa import PROACTIVEVIDEOQA, counted_turns
from mmduet.evaluation.judges import Rating
from mmduet.evaluation.metrics.pauc import RULES
from mmduet.evaluation.prediction_file import Prediction
from mmduet.trace import DuetTrace, Response

QUESTIONS, TURNS, REPLIES = 1427, 3510, 8
SPAN, GAP = 10.0, 2.0  # s
DUPLICATES = "duplicates, turn mean"
OMEGAS = {"PAUC, omega 0": 0.0, "PAUC": 0.5, "PAUC, omega 1": 1.0}


def drawn(rng: np.random.Generator, questions: int, turns: int) -> tuple[dict, dict]:
    """Predictions and references; a third of the replies repeat the words of another one."""
    counts = np.diff([0, *np.sort(rng.choice(np.arange(1, turns), questions - 1, replace=False)), turns])
    predictions, references = {}, {}
    for name, count in zip(map(str, range(questions)), counts.tolist(), strict=True):
        starts = [index * (SPAN + GAP) for index in range(count)]
        times = np.sort(rng.uniform(0, SPAN, (count, REPLIES)), axis=1) + np.reshape(starts, (-1, 1))
        words = rng.integers(0, 12, (count, REPLIES))
        said = [Response(float(t), f"reply {w}") for t, w in zip(times.flat, words.flat, strict=True)]
        trace = DuetTrace(np.empty(0), np.empty(0), np.empty(0), said)
        predictions[name] = Prediction(name, count * (SPAN + GAP), trace)
        answers = [
            {"content": f"answer {i}", "reply_timespan": (s, s + SPAN), "related_timespan": (s, s + SPAN - 1)}
            for i, s in enumerate(starts)
        ]
        turn = {"role": "user", "content": "What happens?", "time": 0}
        item = {"question_id": name, "video": "v.mp4", "conversation": [turn], "answer": answers}
        references[name] = ProactiveItem.model_validate(item)
    return predictions, references


def judged(rng: np.random.Generator, predictions: dict, references: dict) -> dict[str, Rating]:
    """A rating for every pair."""
    turns = turns_of(predictions, references, RULES["mmduet2"])
    ratings = {pair.custom_id: Rating(int(rng.integers(1, 4)), "") for pair in coverage_pairs(turns)}
    return ratings | {pair.custom_id: Rating(int(rng.integers(0, 2)), "") for pair in duplicate_pairs(turns)}


def ours(predictions: dict, references: dict, ratings: dict[str, Rating], rule: str) -> dict[str, float]:
    """All figures."""
    turns, _ = counted_turns(predictions, references, rule=rule, duplicates="judged")
    scores = question_scores(turn_scores(turns, ratings, rule=rule), predictions, references, rule=rule)
    return {name: estimate.value for name, estimate in PROACTIVEVIDEOQA.estimate(scores).items()}


def plain(predictions: dict, references: dict, ratings: dict[str, Rating], rule: str) -> dict[str, float]:
    """PAUC and duplicates: one turn, reply and step after the other."""
    figures: dict[str, list[float]] = {name: [] for name in (*OMEGAS, DUPLICATES)}
    for name, item in references.items():
        for index, answer in enumerate(item.answer):
            start, end = answer.reply_timespan
            heard: list[str] = []
            points: dict[float, int] = {}
            repeats = inside = 0
            for reply in predictions[name].trace.responses:
                if not start <= reply.time <= end:
                    continue
                inside += 1
                if reply.text in heard:
                    repeats += 1
                    continue
                if heard:
                    repeats += ratings[f"{name}={index}={inside - 1}=duplicate"].value == 1
                heard.append(reply.text)
                points[reply.time] = ratings[f"{name}={index}={reply.time}"].value - 1
            if rule == "proactivevideoqa":
                late = answer.related_timespan[1]
                last = ([score for time, score in points.items() if time <= late] or [0])[-1]
                points = {time: score for time, score in points.items() if time <= late or score >= last}
            for column, omega in OMEGAS.items():
                height, at, area = 0.5, start, 0.0
                for time, score in points.items():
                    step = start + (1 - omega) * (time - start)
                    area += height * (step - at)
                    at, height = step, score
                figures[column].append((area + height * (end - at)) / (2 * (end - start)) if points else 0.25)
            if inside:
                figures[DUPLICATES].append(repeats / (inside - 1) if inside > 1 else 0.0)
    return {name: float(np.mean(values)) for name, values in figures.items()}


def main(
    questions: Annotated[int, typer.Option(help="Questions.")] = QUESTIONS,
    turns: Annotated[int, typer.Option(help="Reference answers.")] = TURNS,
    repeats: Annotated[int, typer.Option(help="Runs, of which the median counts.")] = 5,
    seed: int = 0,
) -> None:
    """Print the table."""
    rng = np.random.default_rng(seed)
    predictions, references = drawn(rng, questions, turns)
    ratings = judged(rng, predictions, references)
    print("| what | here, s | plain, s | plain / here |")
    print("| --- | --- | --- | --- |")
    for rule in RULES:
        here, figures = timed(lambda rule=rule: ours(predictions, references, ratings, rule), repeats)
        beside, expected = timed(lambda rule=rule: plain(predictions, references, ratings, rule), repeats)
        np.testing.assert_allclose([figures[name] for name in expected], list(expected.values()), atol=1e-9)
        what = f"rule {rule}, {questions:,} questions, {turns:,} turns, {REPLIES} replies each"
        print(f"| {what} | {here:.2f} | {beside:.2f} | {beside / here:.2f} |")


if __name__ == "__main__":
    typer.run(main)
