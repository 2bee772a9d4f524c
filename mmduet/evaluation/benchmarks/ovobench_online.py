"""OVO-Bench's forward tasks online: one stream an entry, whose replies the model times itself. Words are not scored.

A reply is due 2 s after an activity or a step starts (REC, SSR), or when the clue is seen (CRR). Each due time takes
the first reply that is at most 2 s away. The protocol is that of Em-Garde (arXiv 2603.19054), and of "OVO-Timing" in
VideoChat3's evaluation.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmduet.errors import DuetError
from mmduet.evaluation.benchmark import Benchmark, Metric, Question, Settings
from mmduet.evaluation.benchmarks.ovo.items import GROUPS, TOLERANCE, ForwardItem, OvoItem
from mmduet.evaluation.items import Places
from mmduet.evaluation.metrics.bootstrap import Means, means
from mmduet.evaluation.prediction_file import Prediction
from mmduet.trace import Query, Response

TASKS = GROUPS["Forward"]
FIGURES = ("F1", "recall", "precision")
METRICS = (*FIGURES, *(f"{task} {figure}" for task in TASKS for figure in FIGURES))
# from tables of the follow-up papers; their protocols have not been checked against each other
PUBLISHED = {
    system: {"F1": figure}
    for system, figure in {
        "VideoLLM-Online": 0.069,
        "MMDuet2": 0.205,
        "Em-Garde": 0.310,
        "VideoChat3": 0.336,
        "OneStreamer": 0.416,
    }.items()
}

OVER = ("predicted", "references")
Tolerance = Annotated[float, "Seconds between a reply and the time at which it is due; published is 2."]
OverName = Annotated[str, "Entries that count: predicted, or all of the references."]


def replies(prediction: Prediction, item: ForwardItem) -> list[Response]:
    """The responses inside the entry's stream, both ends included."""
    start, end = item.stream
    return [response for response in prediction.trace.responses if start <= response.time <= end]


def match(due: Sequence[float], times: Sequence[float], *, tolerance: float = TOLERANCE) -> list[int | None]:
    """Match due times with replies.

    Args:
        due: When a reply is due, s.
        times: Times of replies, s, in the order in which they are tried.
        tolerance: Maximum distance, s, included.

    Returns:
        For each due time, in ascending order, the index of the first unused reply near enough; None if there is none.
    """
    used: set[int] = set()
    found: list[int | None] = []
    for time in sorted(due):
        near = (i for i, reply in enumerate(times) if i not in used and abs(reply - time) <= tolerance)
        found.append(next(near, None))
        used |= {index for index in found[-1:] if index is not None}
    return found


def score(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, ForwardItem],
    *,
    tolerance: Tolerance = TOLERANCE,
    over: OverName = "predicted",
) -> pd.DataFrame:
    """Score the times of each entry's replies.

    Args:
        predictions: Question id -> prediction.
        references: Question id -> item.
        tolerance: Maximum distance of a reply from the time at which it is due, s, included.
        over: ``predicted``: entries with a prediction count. ``references``: all count; one without a prediction is 0.

    Returns:
        A row an entry. Of its task's columns, in [0, 1]: recall, the share of due times that have a reply; precision,
        the share of replies that have a due time, 0 without a reply. NaN in the columns of other tasks.

    Raises:
        DuetError: The tolerance is negative, or `over` is not known.
    """
    if over not in OVER:
        raise DuetError(f"over={over!r} is not known; known are {OVER}.")
    if not tolerance >= 0:
        raise DuetError(f"tolerance={tolerance}: give a number of seconds from 0 on.")
    rows = {}
    for name, item in references.items():
        if name in predictions or over == "references":
            times = [r.time for r in replies(predictions[name], item)] if name in predictions else []
            hits = sum(index is not None for index in match(item.times, times, tolerance=tolerance))
            rows[name] = {
                f"{item.task} recall": hits / max(1, len(item.times)),
                f"{item.task} precision": hits / max(1, len(times)),
            }
    columns = [f"{task} {figure}" for task in TASKS for figure in FIGURES[1:]]
    index = pd.Index(rows, name="question_id")
    return pd.DataFrame([*rows.values()], index=index, columns=columns, dtype=float)


def combined(columns: Means) -> Means:
    """F1 of each task, made of its mean recall and precision, and the means over the three tasks, in [0, 1].

    A task without an entry counts 0, as published.
    """
    found = dict(columns)
    for task in TASKS:
        recall, precision = columns[f"{task} recall"], columns[f"{task} precision"]
        found[f"{task} F1"] = _ratio(2 * recall * precision, recall + precision)
    for figure in FIGURES:
        of_tasks = [found[f"{task} {figure}"] for task in TASKS]
        found[figure] = np.mean([np.zeros_like(v) if np.isnan(v[0]) else v for v in of_tasks], axis=0)
    return found


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """The quotient; 0 where the denominator is 0, NaN where it is NaN."""
    ratio = np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator != 0)
    return np.asarray(ratio)


def evaluate(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, ForwardItem],
    *,
    tolerance: float = TOLERANCE,
    over: str = "predicted",
) -> dict[str, float]:
    """METRICS, in [0, 1]."""
    return means(score(predictions, references, tolerance=tolerance, over=over), combined=combined)


def keep_forward(places: Places) -> Places:
    """The entries of the forward tasks. An entry of an unknown task stays, to be refused."""
    others = {task for group, tasks in GROUPS.items() if group != "Forward" for task in tasks}
    return [(place, entry) for place, entry in places if not (isinstance(entry, dict) and entry.get("task") in others)]


def _question(item: Any) -> Question:
    return Question(item.question_id, item.video, (Query(item.stream[0], item.query),))


OVOBENCH_ONLINE = Benchmark(
    name="ovobench_online",
    title="OVO-Bench online",
    summary="recall, precision and F1 of the times of replies in the forward tasks",
    item=OvoItem,
    entries=keep_forward,
    question=_question,
    settings=Settings(frame_fps=2.0, max_frames=1200, threshold=0.5),
    score=score,
    combined=combined,
    metrics=dict.fromkeys(METRICS, Metric("0 to 1", digits=3)),
    headline=(*FIGURES, *(f"{task} F1" for task in TASKS)),
    published=PUBLISHED,
    source="papers",
    scenes="test_ovobench.json",
)
