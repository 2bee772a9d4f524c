"""OVO-Bench: answers about the past, the present, and a question that is asked again as the video goes on.

A choice is asked once; a forward entry has several test points (Niu et al., arXiv 2501.05510). ``rule`` says how an
answer is read: see `mmduet.evaluation.benchmarks.ovo.answers`. The forward tasks as one stream, whose replies the
model times itself, are the benchmark `ovobench_online`.

The published protocol makes a clip of its own for each test point. Here a stream goes through the video, and each
question is put at its time.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmduet.errors import DuetError
from mmduet.evaluation import lmms_eval
from mmduet.evaluation.benchmark import Benchmark, Console, Metric, Question, Settings
from mmduet.evaluation.benchmarks.ovo.answers import READERS, RULES, find_rule
from mmduet.evaluation.benchmarks.ovo.items import GROUPS, TASKS, OvoItem
from mmduet.evaluation.benchmarks.ovo.results import PARTS, log_lines, read_answers, results_of, rounds_of
from mmduet.evaluation.coverage import coverage, read_matched
from mmduet.evaluation.items import read_items
from mmduet.evaluation.metrics.bootstrap import Means, means
from mmduet.evaluation.prediction_file import Prediction
from mmduet.files import check_target, read_json, write_json
from mmduet.trace import Query

TOTAL = "Total"
AVERAGES = (*GROUPS, TOTAL)
# %, the table in the benchmark's own repository
PUBLISHED = {
    system: dict(zip((*GROUPS, TOTAL, *GROUPS["Forward"]), figures, strict=False))
    for system, figures in {
        "human": (93.2, 92.3, 92.9, 92.8, 95.5, 89.7, 93.6),
        "Gemini 1.5 Pro": (69.3, 62.5, 57.2, 63.0, 35.5, 74.2, 61.7),
        "GPT-4o": (64.5, 60.8, 53.4, 59.5),
        "LLaVA-OV 7B": (64.0, 43.7, 50.5, 52.7, 25.6, 67.1, 58.8),
        "Qwen2-VL 7B": (56.0, 46.5, 48.7, 50.4),
        "Dispider": (54.6, 36.1, 34.7, 41.8, 18.1, 37.4, 48.8),
        "Flash-VStream": (28.4, 27.4, 45.1, 33.6),
        "VideoLLM-online": (20.8, 17.7),
    }.items()
}

RuleName = Annotated[str, "How answers are read: upstream, as published, corrected, or lmms-eval."]
Wait = Annotated[float, "Seconds after a question in which a stream's response is its answer."]


def score(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, OvoItem],
    *,
    rule: RuleName = "upstream",
    wait: Wait = 5.0,
) -> pd.DataFrame:
    """Score every test point of the entries that have both a prediction and a reference.

    Args:
        predictions: Question id -> prediction, or answers of result files.
        references: Question id -> item.
        rule: ``upstream``, ``corrected`` or ``lmms-eval``.
        wait: Seconds after a question in which the response of a stream is its answer.

    Returns:
        A row a test point: ``ID`` of a choice, ``ID_INDEX`` of a forward task. If an entry comes again in result files,
        it counts again, as ``ID (2)``. A column a task, %: 0 or 100 in the task's rows, NaN in the others.

    Raises:
        DuetError: The rule is not known, `wait` is negative, or a stream was not asked at the test points.
    """
    reads = find_rule(rule)
    rows: dict[str, dict[str, float]] = {}
    for name, item in references.items():
        if name not in predictions:
            continue
        for number, answers in enumerate(rounds_of(predictions[name], item, wait=wait), 1):
            for point, response in zip(item.points, answers, strict=True):
                if response is None and item.kind in reads.left_out:
                    continue
                right = response is not None and getattr(reads, item.kind)(response, point.reference, item.options)
                rows[point.name if number == 1 else f"{point.name} ({number})"] = {item.task: 100.0 * right}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=None if rows else list(TASKS), dtype=float)
    return table.reindex(columns=list(TASKS)).rename_axis("question_id")


def combined(columns: Means) -> Means:
    """The mean of the tasks of each group, and of the three groups, %.

    A task without a test point is in no mean. The total is NaN if a group has none: the published code then stops.
    """
    groups = {group: _mean([columns[task] for task in tasks]) for group, tasks in GROUPS.items()}
    return groups | {TOTAL: np.mean([*groups.values()], axis=0)}


def _mean(columns: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean of the columns that are not NaN; NaN where all are."""
    stacked = np.array([*columns])
    known = ~np.isnan(stacked)
    count = known.sum(0)
    return np.divide(np.where(known, stacked, 0).sum(0), count, out=np.full(count.shape, np.nan), where=count > 0)


def evaluate(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, OvoItem],
    *,
    rule: str = "upstream",
    wait: float = 5.0,
) -> dict[str, float]:
    """The accuracy of each task, and their means, %."""
    return means(score(predictions, references, rule=rule, wait=wait), combined=combined)


def compare_rules(
    predictions: Mapping[str, Prediction], references: Mapping[str, OvoItem], *, wait: float = 5.0
) -> pd.DataFrame:
    """The figures under each rule, %: a row a rule, a column a metric."""
    rows = {rule: evaluate(predictions, references, rule=rule, wait=wait) for rule in RULES}
    return pd.DataFrame.from_dict(rows, orient="index", columns=[*AVERAGES, *TASKS]).rename_axis("rule")


def unread(
    predictions: Mapping[str, Prediction], references: Mapping[str, OvoItem], *, wait: float = 5.0
) -> dict[str, str]:
    """The responses from which ``corrected`` reads no answer: test point -> response."""
    return {
        point.name: response
        for name, item in references.items()
        if name in predictions
        for answers in rounds_of(predictions[name], item, wait=wait)
        for point, response in zip(item.points, answers, strict=True)
        if response is not None and READERS[item.kind](response, item.options) is None
    }


def evaluate_files(
    predictions: Path, references: Path, console: Console, *, rule: RuleName = "upstream", wait: Wait = 5.0
) -> pd.DataFrame:
    """Work of `mmduet evaluate ovobench`.

    The predictions are a prediction file, a result file in the official form, a sample log of lmms-eval, or a folder of
    result files and logs.
    """
    find_rule(rule)
    found, items = read_matched(OVOBENCH, predictions, references, console.say)
    if others := unread(found, items, wait=wait):
        name, response = next(iter(others.items()))
        console.say(f"{len(others)} responses have no answer that `corrected` can read, such as {name}: {response!r}")
    averages = compare_rules(found, items, wait=wait)[[*AVERAGES]]
    console.say(f"all rules, %:\n{averages.to_string(float_format='%.2f')}\n\nrule {rule}:")
    return score(found, items, rule=rule, wait=wait)


def export_files(
    predictions: Path,
    output: Path,
    references: Path | None,
    console: Console,
    *,
    form: Annotated[str, "official, or lmms-eval's log of a task: backward, realtime or forward."] = "official",
    wait: Wait = 5.0,
) -> None:
    """Write answers as an official result file, or as a sample log of lmms-eval, which needs --references."""
    if references is None:
        raise DuetError("OVO-Bench's forms repeat the annotations: give --references.")
    if form not in ("official", *PARTS):
        raise DuetError(f"form={form!r} is not known; known are {('official', *PARTS)}.")
    check_target(
        output,
        ours=(lambda path: read_json(path).keys() == PARTS.keys()) if form == "official" else lmms_eval.is_log,
        inputs=[predictions, references],
    )
    items = read_items(references, OvoItem)
    found = read_answers(predictions, items)
    console.say(str(coverage(found, items, {name: _question(item) for name, item in items.items()})))
    results = results_of(found.by_id, items, wait=wait)
    if form == "official":
        write_json(output, results)
    else:
        lmms_eval.write_log(output, log_lines(form, results[form], items))
    console.say(f"{output}: {sum(map(len, results.values())) if form == 'official' else len(results[form])} entries")


def _question(item: OvoItem) -> Question:
    return Question(item.question_id, item.video, tuple(Query(point.time, point.query) for point in item.points))


OVOBENCH = Benchmark(
    name="ovobench",
    title="OVO-Bench",
    summary="accuracy of answers about the past, the present, and repeated questions",
    item=OvoItem,
    question=_question,
    settings=Settings(frame_fps=0.0, threshold=0.5),
    score=score,
    combined=combined,
    parts=True,
    read=read_answers,
    metrics=dict.fromkeys((*AVERAGES, *TASKS), Metric("%", digits=2)),
    headline=(*AVERAGES, *GROUPS["Forward"]),
    published=PUBLISHED,
    source="repository",
    command=evaluate_files,
    export=export_files,
    scenes="test_ovobench.json",
)
