"""Shot2Story-MAGQA-39k: replies that come while an answer is due, rated by a judge from 1 to 5.

The in-span score of a reference answer is the mean rating of the replies inside its span, and 1 if there are none. The
score of a question is the mean over its reference answers (MMDuet, arXiv 2411.17991, and its published evaluation).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd

from mmduet.errors import DuetError
from mmduet.evaluation import judges
from mmduet.evaluation.benchmark import Benchmark, Console, Metric, Settings
from mmduet.evaluation.coverage import read_matched
from mmduet.evaluation.items import AnsweredItem, AskedItem
from mmduet.evaluation.judges import options
from mmduet.evaluation.judges.rating import Judge, Pair, Rating
from mmduet.evaluation.metrics.bootstrap import means
from mmduet.evaluation.prediction_file import Prediction
from mmduet.trace import UNTIMED, Response

METRICS = ("in-span score", "turns", "turns, de-duplicated")
_IN_SPAN = {
    "MMDuet, t=0.6": (2.46, 2.33, 13.7, 4.0),
    "MMDuet, t=0.5": (2.77, 2.61, 18.4, 5.3),
    "MMDuet, t=0.4": (3.00, 2.81, 23.0, 6.6),
    "MMDuet, t=0.3": (3.13, 2.93, 27.0, 7.6),
    "LLaVA-OV-TC": (2.77, 2.64, 4.1, 2.2),
    "LLaVA-OV-VT": (2.54, 2.42, 4.1, 3.1),
    "VideoLLM-Online": (1.33, 1.26, 1.3, 1.1),
}
# arXiv 2411.17991v2; MMDuet's with responses removed from the context. Figures of two judges are not comparable.
PUBLISHED = {
    f"{system}, judged by {judge}": dict(zip(METRICS, (figures[column], *figures[2:]), strict=True))
    for column, judge in enumerate(("LLaMA-3.1-70B", "GPT-4o"))
    for system, figures in _IN_SPAN.items()
}

Over = Literal["predicted", "references", "answered"]
OVER: tuple[Over, ...] = ("predicted", "references", "answered")


def replies(prediction: Prediction) -> list[Response]:
    """The responses with their times, s.

    The text of a whole-video baseline's segment counts at its middle, as published. A baseline's text without times
    counts at UNTIMED.
    """
    segments = [segment for segment in prediction.segments or [] if segment.text]
    return [Response((s.start + s.end) / 2, s.text) for s in segments] or prediction.trace.responses


def pairs(predictions: Mapping[str, Prediction], references: Mapping[str, AnsweredItem]) -> list[Pair]:
    """The pairs that a judge must rate: a reference answer, and a reply inside its span.

    Identical texts of a question are one pair.

    Raises:
        DuetError: A reference has no question.
    """
    return [
        pair
        for name, item in references.items()
        if name in predictions
        for pair in _pairs(name, item, replies(predictions[name]))
    ]


def _pairs(name: str, item: AnsweredItem, responses: Sequence[Response]) -> list[Pair]:
    if not item.conversation:
        raise DuetError(f"reference {name!r} has an empty conversation: its first turn is the question.")
    question = item.conversation[0].content
    return [
        Pair(name, tuple(g), tuple(r), (question, reference, reply))
        for reference, g in _indices([answer.content for answer in item.answer]).items()
        for reply, r in _indices([response.text for response in responses]).items()
        if any(_inside(responses[j].time, item.answer[i].time) for i in g for j in r)
    ]


def _indices(texts: Sequence[str]) -> dict[str, list[int]]:
    """Text -> its positions."""
    found: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        found.setdefault(text, []).append(index)
    return found


def _inside(time: float, span: tuple[float, float]) -> bool:
    """Whether a reply is inside a span; one without a time is inside every span."""
    return time == UNTIMED or span[0] <= time <= span[1]


def score(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, AnsweredItem],
    ratings: Mapping[str, Rating],
    *,
    over: Over = "predicted",
) -> pd.DataFrame:
    """Score questions with ratings of their pairs.

    Args:
        predictions: Question id -> prediction.
        references: Question id -> item.
        ratings: ``custom_id`` -> rating, for `pairs`.
        over: The questions that count. ``predicted``: those with a prediction; one without a response scores 1 with 0
            turns. ``references``: all; one without a prediction scores 1, too. This is the published way, which fills
            up to the 2,000 questions of the test file. ``answered``: those with a response.

    Returns:
        In-span score (1 to 5), turns, different turns, and ``errors``: the number of pairs without a rating. Such pairs
        are in no mean, and neither is a reference answer that has no other replies. A question without any mean has
        NaN.

    Raises:
        DuetError: `over` is not known.
    """
    if over not in OVER:
        raise DuetError(f"over={over!r} is not known; known are {OVER}.")
    rows = {}
    for name, item in references.items():
        responses = replies(predictions[name]) if name in predictions else []
        if responses or over == "references" or (over == "predicted" and name in predictions):
            rows[name] = _score(name, item, responses, ratings)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[*METRICS, "errors"], dtype=float)
    return table.rename_axis("question_id")


def _score(
    name: str, item: AnsweredItem, responses: Sequence[Response], ratings: Mapping[str, Rating]
) -> tuple[float, int, int, int]:
    rated: dict[tuple[int, int], float] = {}
    errors = 0
    for pair in _pairs(name, item, responses):
        value = rating.value if (rating := ratings.get(pair.custom_id)) else None
        errors += value is None
        rated |= {(g, r): np.nan if value is None else float(value) for g in pair.golds for r in pair.replies}
    scores = []
    for g, answer in enumerate(item.answer):
        inside = [rated[g, r] for r, response in enumerate(responses) if _inside(response.time, answer.time)]
        scores.append(_mean(inside) if inside else 1.0)
    return _mean(scores), len(responses), len({response.text for response in responses}), errors


def _mean(values: Iterable[float]) -> float:
    """The mean of the values that are not NaN; NaN if there are none."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else np.nan


def evaluate(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, AnsweredItem],
    ratings: Mapping[str, Rating],
    *,
    over: Over = "predicted",
) -> dict[str, float]:
    """The means of `score`, and ``errors``: the number of pairs without a rating."""
    table = score(predictions, references, ratings, over=over)
    return means(table[list(METRICS)]) | {"errors": float(table["errors"].sum())}


# the benchmark


def score_judged(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, AnsweredItem],
    *,
    judge: Judge | Path | None = None,
    cache: str | Path | None = None,
    over: Over = "predicted",
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Let a judge rate the replies, then score them.

    Args:
        predictions: Question id -> prediction.
        references: Question id -> item.
        judge: A judge to ask, or the output file of a batch.
        cache: A file that keeps the judge's answers, so that nothing is asked twice.
        over: As for `score`.
        say: Gets the number of requests before the judge is asked.

    Raises:
        DuetError: There is no judge, or it cannot be asked.
    """
    asked = pairs(predictions, references)
    return score(predictions, references, ratings_of(asked, judge, cache=cache, say=say), over=over)


def ratings_of(
    asked: Sequence[Pair],
    judge: Judge | Path | None,
    *,
    cache: str | Path | None = None,
    prices: tuple[float, float] | None = None,
    say: Callable[[str], None] = print,
    confirm: Callable[[], None] = lambda: None,
) -> dict[str, Rating]:
    """The ratings of pairs by a judge, or from the output file of a batch: ``custom_id`` -> rating.

    Args:
        asked: The pairs.
        judge: A judge to ask, or the output file of a batch.
        cache: A file that keeps the judge's answers.
        prices: Prices of a million input and output tokens.
        say: Gets the number of requests before the judge is asked.
        confirm: Called before the judge is asked; it ends the work by an exception.

    Raises:
        DuetError: There is no judge, it cannot be asked, or it rates none of the pairs.
    """
    if judge is None:
        raise DuetError("no judge: give --judge MODEL, with --url for an endpoint, or --read-batch FILE.")
    if isinstance(judge, Path):
        ratings = judges.read_batch(judge, asked)
    else:
        say(str(judges.estimate(asked, judge, cache=cache, prices=prices)))
        confirm()
        ratings = judges.rate(asked, judge, cache=cache)
    judges.check_any_rated(asked, ratings)
    return ratings


def evaluate_files(
    predictions: Path,
    references: Path,
    console: Console,
    *,
    judge: options.JudgeName = "",
    url: options.Url = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    cache: options.Cache = None,
    write_batch: options.WriteBatch = None,
    read_batch: options.ReadBatch = None,
    prices: options.Prices = None,
    over: Annotated[str, "Questions that count: predicted, references or answered."] = "predicted",
    yes: options.Yes = False,
) -> pd.DataFrame | None:
    """Work of `mmduet evaluate magqa`."""
    options.check_judge(judge, url, write_batch, read_batch=read_batch)
    if write_batch is not None:
        judges.check_batch(write_batch, [predictions, references])
    judges.AnswerCache(cache)  # refuses a file of another kind
    found, items = read_matched(MAGQA, predictions, references, console.say)
    asked = pairs(found, items)
    if write_batch is not None:
        endpoint = judges.EndpointJudge(judge, base_url=url or judges.OPENAI_URL)
        console.say(f"{write_batch}: {judges.write_batch(write_batch, asked, endpoint)} requests")
        return None
    with console.resumable(lambda: judges.kept_answers(cache)):
        ratings = ratings_of(
            asked, read_batch or options.named_judge(judge, url, device=device, dtype=dtype), cache=cache,
            prices=prices, say=console.say, confirm=lambda: None if url is None or yes else console.confirm("Ask it?"),
        )  # fmt: skip
    scores = score(found, items, ratings, over=over)  # type: ignore[arg-type]  # checked there
    console.say(f"{len(scores)} questions, {scores['errors'].sum():.0f} of {len(asked)} pairs without a rating")
    return scores


MAGQA = Benchmark(
    name="magqa",
    title="MAGQA",
    summary="in-span score by a judge, and turns",
    item=AnsweredItem,
    asked=AskedItem,
    settings=Settings(frame_fps=2.0, threshold=0.5, heads=("informative", "relevance"), remove_assistant_turns=True),
    score=score_judged,
    metrics={
        "in-span score": Metric("1 to 5", digits=2),
        "turns": Metric("a question", "lower", digits=2),
        "turns, de-duplicated": Metric("a question", "lower", digits=2),
    },
    errors="errors",
    published=PUBLISHED,
    command=evaluate_files,
    scenes="test_magqa_test.json",
)
UNITS = MAGQA.units
