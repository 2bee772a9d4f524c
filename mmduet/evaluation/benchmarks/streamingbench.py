"""StreamingBench, Proactive Output: is the output given when it is due?

Three scorings stand side by side. *Polling* (the published protocol, arXiv 2411.03628) asks the model every second
whether it is time. *First reply* (MMDuet2, arXiv 2512.06810) and *online* (Em-Garde, arXiv 2603.19054) are for models
that speak by themselves. Polling gives the answer away, because its prompt has the output in it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd

from mmduet.errors import DuetError
from mmduet.evaluation.benchmark import Benchmark, Console, Metric, Question, Settings
from mmduet.evaluation.benchmarks.streamingbench_items import (
    EXTRA,
    TOLERANCE,
    Polled,
    ProactiveItem,
    nested_questions,
    read_proactive,
)
from mmduet.evaluation.coverage import read_matched
from mmduet.evaluation.metrics.bootstrap import means
from mmduet.evaluation.prediction_file import Prediction
from mmduet.trace import Query, Response

FIRST = (0, 1, 2, 3)  # s, bounds of the first reply's distance
ONLINE = (1, 2)  # s
NO_REPLY = 100.0  # s, the published distance where there is no reply
METRICS = (
    "time accuracy", "answer accuracy",
    *(f"first@{bound}s" for bound in FIRST),
    *(f"{figure}@{bound}s" for bound in ONLINE for figure in ("Recall", "Accuracy")),
    "replies",
)  # fmt: skip
# The published PO figure is the share of right answers. For MMDuet and MMDuet2 the tolerance is not stated.
PUBLISHED = {
    system: {"answer accuracy": figure}
    for system, figure in {
        "human": 1.0,
        "Claude 3.5 Sonnet": 0.647,
        "GPT-4o": 0.569,
        "Gemini 1.5 Pro": 0.451,
        "InternVL2": 0.409,
        "LLaVA-OV": 0.296,
        "Qwen2-VL": 0.227,
        "VideoLLM-Online": 0.0196,
        "Dispider": 0.2534,
        "MMDuet": 0.2944,
        "MMDuet2, SFT only": 0.1959,
        "MMDuet2": 0.3469,
        "Em-Garde": 0.380,
    }.items()
}

Over = Literal["published", "predicted"]
OVER: tuple[Over, ...] = ("published", "predicted")
OverName = Annotated[str, "Questions of Recall and Accuracy: published, all of the references, or predicted."]


def replies(prediction: Prediction, item: ProactiveItem) -> list[Response]:
    """The responses inside the question's stream: from the question to `EXTRA` seconds after the reference time."""
    return [r for r in prediction.trace.responses if item.asked <= r.time <= item.due + EXTRA]


def first_difference(prediction: Prediction, item: ProactiveItem) -> float:
    """The first reply's time less the reference time, s; NO_REPLY without a reply."""
    first = next((r for r in prediction.trace.responses if r.time >= item.asked), None)
    return NO_REPLY if first is None else first.time - item.due


def score(
    predictions: Mapping[str, Prediction], references: Mapping[str, ProactiveItem], *, over: OverName = "published"
) -> pd.DataFrame:
    """Score questions under all three protocols.

    * ``time accuracy``: whether the decisive turn is within 2 s of the reference time; ``answer accuracy``: whether it
      also contains the output, letter for letter. The decisive turn of a polled model is its last one, as published.
      That of a model that speaks by itself is its first reply.
    * ``first@Ks``: whether the first reply is within K s.
    * ``Recall@Ks``: whether some reply of the stream is within K s. ``Accuracy@Ks``: whether its first one is.
    * ``replies``: the number of replies in the stream.

    Args:
        predictions: Question id -> prediction, or a polled model's.
        references: Question id -> item.
        over: ``published``: a question without a prediction is wrong in Recall and Accuracy, and counts in no other
            column. ``predicted``: it counts nowhere.

    Returns:
        METRICS: fractions of questions, as 0 or 1, and the number of replies. NaN where a question does not count.

    Raises:
        DuetError: `over` is not known.
    """
    if over not in OVER:
        raise DuetError(f"over={over!r} is not known; known are {OVER}.")
    rows = {}
    for name, item in references.items():
        if name in predictions:
            rows[name] = _official(predictions[name], item) | _first(predictions[name], item)
            times = [reply.time for reply in replies(predictions[name], item)]
            rows[name] |= _online(times, item) | {"replies": float(len(times))}
        elif over == "published":
            rows[name] = _online([], item)
    table = pd.DataFrame.from_dict(rows, orient="index", dtype=float)
    return table.reindex(columns=list(METRICS)).rename_axis("question_id")


def _official(prediction: Prediction, item: ProactiveItem) -> dict[str, float]:
    if isinstance(prediction, Polled) and prediction.last is not None:
        time, text = prediction.last.time, prediction.last.content
    else:
        first = next((r for r in prediction.trace.responses if r.time >= item.asked), Response(np.inf, ""))
        time, text = first.time, first.text
    in_time = abs(time - item.due) <= TOLERANCE
    return {"time accuracy": float(in_time), "answer accuracy": float(in_time and item.output in text)}


def _first(prediction: Prediction, item: ProactiveItem) -> dict[str, float]:
    distance = abs(first_difference(prediction, item))
    return {f"first@{bound}s": float(distance <= bound) for bound in FIRST}


def _online(times: list[float], item: ProactiveItem) -> dict[str, float]:
    found: dict[str, float] = {}
    for bound in ONLINE:
        near = [abs(time - item.due) <= bound for time in times]
        found |= {f"Recall@{bound}s": float(any(near)), f"Accuracy@{bound}s": float(bool(near) and near[0])}
    return found


def evaluate(
    predictions: Mapping[str, Prediction], references: Mapping[str, ProactiveItem], *, over: str = "published"
) -> dict[str, float]:
    """The means of `score`."""
    return means(score(predictions, references, over=over))


def evaluate_files(
    predictions: Path, references: Path, console: Console, *, over: OverName = "published"
) -> pd.DataFrame:
    """Work of `mmduet evaluate streamingbench`."""
    found, items = read_matched(STREAMINGBENCH, predictions, references, console.say)
    scores = score(found, items, over=over)
    answered = int(scores["time accuracy"].notna().sum())
    console.say(f"over {over}: {answered} questions, and {len(scores)} in Recall and Accuracy:")
    return scores


def _question(item: ProactiveItem) -> Question:
    return Question(item.question_id, item.video, (Query(item.asked, item.question),))


STREAMINGBENCH = Benchmark(
    name="streamingbench",
    title="StreamingBench, Proactive Output",
    summary="time and words of an output that is due when something appears",
    item=ProactiveItem,
    entries=nested_questions,
    question=_question,
    settings=Settings(frame_fps=2.0, max_frames=1200, threshold=0.5),
    score=score,
    read=read_proactive,
    metrics={name: Metric("0 to 1", digits=3) for name in METRICS[:-1]}
    | {METRICS[-1]: Metric("a question", better=None, digits=2)},
    headline=("answer accuracy", "time accuracy", "Recall@2s", "Accuracy@2s", "replies"),
    published=PUBLISHED,
    source="papers",
    command=evaluate_files,
    scenes="test_streamingbench.json",
)
