"""ProactiveVideoQA: replies to a question while a video plays, measured by PAUC and by the duplicates among them.

`mmduet.evaluation.metrics.pauc` defines PAUC and the two published rules (arXiv 2507.09313, and MMDuet2's evaluation,
arXiv 2512.06810). A judge grades from 1 to 3 how much of a reference answer the replies in its span cover so far. An
answer that is no grade is an error: its reply is in no curve, and a turn without a rated reply is in no mean. The
published code takes such an answer for a 0, or leaves the reply out.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd

from mmduet.errors import DuetError
from mmduet.evaluation import judges
from mmduet.evaluation.benchmark import Benchmark, Console, Settings
from mmduet.evaluation.benchmarks.proactive.items import ProactiveAsked, ProactiveItem, ask, read_predictions
from mmduet.evaluation.benchmarks.proactive.judging import COVERAGE, DUPLICATES, GivenAnswers
from mmduet.evaluation.benchmarks.proactive.published import PUBLISHED, SOURCE
from mmduet.evaluation.benchmarks.proactive.scores import METRICS, question_scores, turn_scores
from mmduet.evaluation.benchmarks.proactive.turns import (
    Turn,
    coverage_pairs,
    duplicate_pairs,
    read_coverage_id,
    read_duplicate_id,
    turns_of,
)
from mmduet.evaluation.coverage import read_matched
from mmduet.evaluation.judges import options
from mmduet.evaluation.judges.rating import ChatJudge, Rating
from mmduet.evaluation.metrics.pauc import Rule, check_omega, find_rule
from mmduet.evaluation.prediction_file import Prediction

OVER, KINDS = ("predicted", "references"), ("literal", "judged")

RuleName = Annotated[str, "Whose rule: proactivevideoqa (the benchmark's) or mmduet2 (MMDuet2's evaluation)."]
Omega = Annotated[float, "How little the time of a reply counts in PAUC: 0 (fully) to 1 (not at all)."]
Single = Annotated[bool, "The judge reads the first user turn. If not, rule mmduet2 often shows it a subtitle."]
Over = Annotated[str | None, "Questions that count: predicted or references; by default as the rule says."]
Kind = Annotated[str | None, "Duplicates: literal, or also judged; by default judged for rule mmduet2 alone."]


def score(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, ProactiveItem],
    *,
    judge: ChatJudge | Path | None = None,
    cache: str | Path | None = None,
    rule: RuleName = "proactivevideoqa",
    omega: Omega = 0.5,
    single_question: Single = True,
    over: Over = None,
    duplicates: Kind = None,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Let a judge grade the replies, then score them.

    Args:
        predictions: Question id -> prediction.
        references: Question id -> item.
        judge: A judge to ask, or the output file of a batch.
        cache: A file that keeps the judge's answers, so that nothing is asked twice.
        rule: ``proactivevideoqa`` or ``mmduet2``.
        omega: ω of the column ``PAUC``, in [0, 1].
        single_question: As for `turns_of`.
        over: ``predicted``: questions with a prediction. ``references``: all; one without is silent.
        duplicates: ``literal``, or ``judged``: a second request says which replies are duplicates, too.
        say: Gets the number of requests before the judge is asked.

    Returns:
        A row a question, from `question_scores`.

    Raises:
        DuetError: An option is not known, there is no judge, or it cannot be asked.
    """
    turns, is_judged = counted_turns(
        predictions, references, rule=rule, omega=omega, single_question=single_question, over=over,
        duplicates=duplicates,
    )  # fmt: skip
    ratings = ratings_of(turns, judge, duplicates=is_judged, cache=cache, say=say)
    rows = turn_scores(turns, ratings, rule=rule, omega=omega, judged_duplicates=is_judged)
    return question_scores(rows, predictions, references, rule=rule)


def counted_turns(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, ProactiveItem],
    *,
    rule: str = "proactivevideoqa",
    omega: float = 0.5,
    single_question: bool = True,
    over: str | None = None,
    duplicates: str | None = None,
) -> tuple[list[Turn], bool]:
    """The turns that count, and whether a judge is asked for duplicates. Arguments are those of `score`.

    Raises:
        DuetError: An option is not known or out of range.
    """
    found = _checked_rule(rule, single_question)
    check_omega(omega)
    for name, value, known in (("over", over, OVER), ("duplicates", duplicates, KINDS)):
        if value is not None and value not in known:
            raise DuetError(f"{name}={value!r} is not known; known are {known}.")
    counts_missing = None if over is None else over == "references"
    turns = turns_of(predictions, references, found, single_question=single_question, counts_missing=counts_missing)
    return turns, found.judges_duplicates if duplicates is None else duplicates == "judged"


def _checked_rule(rule: str, single_question: bool) -> Rule:
    found = find_rule(rule)
    if not single_question and not found.walks_questions:
        raise DuetError(f"single_question=False: rule {rule!r} always shows the first user turn to the judge.")
    return found


# judges


def ratings_of(
    turns: Sequence[Turn],
    judge: ChatJudge | Path | None,
    *,
    duplicates: bool,
    cache: str | Path | None = None,
    prices: tuple[float, float] | None = None,
    say: Callable[[str], None] = print,
    confirm: Callable[[], None] = lambda: None,
) -> dict[str, Rating]:
    """The ratings of turns by a judge, or from the output file of a batch.

    Args:
        turns: Turns, from `counted_turns`.
        judge: A judge to ask, or the output file of a batch.
        duplicates: Also ask whether replies are duplicates.
        cache: A file that keeps the judge's answers.
        prices: Prices of a million input and output tokens.
        say: Gets the number of requests before the judge is asked.
        confirm: Called before the judge is asked; it ends the work by an exception.

    Returns:
        ``custom_id`` -> rating.

    Raises:
        DuetError: There is no judge, it cannot be asked, or it rates no pair of a kind.
    """
    if judge is None:
        raise DuetError(
            "no judge: give --judge MODEL, with --url for an endpoint, or --read-batch FILE, or --answers FILE."
        )
    jobs = [(COVERAGE, coverage_pairs(turns), read_coverage_id)]
    if duplicates:
        jobs.append((DUPLICATES, duplicate_pairs(turns), read_duplicate_id))
    ratings: dict[str, Rating] = {}
    if isinstance(judge, Path):
        for rubric, pairs, read_id in jobs:
            ratings |= judges.read_batch(judge, pairs, read_id=read_id, rubric=rubric)
    else:
        asked = [(pairs, judge.about(rubric)) for rubric, pairs, _ in jobs]
        for pairs, rater in asked:
            say(str(judges.estimate(pairs, rater, cache=cache, prices=prices)))
        confirm()
        for pairs, rater in asked:
            ratings |= judges.rate(pairs, rater, cache=cache)
    for _, pairs, _ in jobs:
        judges.check_any_rated(pairs, ratings)
    return ratings


def errors_of(turns: Sequence[Turn], ratings: Mapping[str, Rating], *, duplicates: bool) -> pd.DataFrame:
    """A table of what has no rating: index ``custom_id``, with the texts, the reason and the judge's answer."""
    pairs = [*coverage_pairs(turns), *(duplicate_pairs(turns) if duplicates else ())]
    return judges.errors(pairs, ratings)


# the command


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
    answers: Annotated[Path | None, "Take a judge's answers, by the texts it read, from this JSON file."] = None,
    prices: options.Prices = None,
    rule: RuleName = "proactivevideoqa",
    omega: Omega = 0.5,
    single_question: Single = True,
    over: Over = None,
    duplicates: Kind = None,
    yes: options.Yes = False,
) -> pd.DataFrame | None:
    """Work of `mmduet evaluate proactivevideoqa`."""
    options.check_judge(judge, url, write_batch, read_batch=read_batch, answers=answers)
    if write_batch is not None:
        judges.check_batch(write_batch, [predictions, references])
    judges.AnswerCache(cache)  # refuses a file of another kind
    found, items = read_matched(PROACTIVEVIDEOQA, predictions, references, console.say)
    turns, is_judged = counted_turns(
        found, items, rule=rule, omega=omega, single_question=single_question, over=over, duplicates=duplicates
    )
    if write_batch is not None:
        console.say(f"{write_batch}: {_write_batch(write_batch, turns, judge, url, is_judged)} requests")
        return None
    rater: ChatJudge | Path | None = read_batch or options.named_judge(judge, url, device=device, dtype=dtype)
    if answers is not None:
        rater = GivenAnswers(answers)
    with console.resumable(lambda: judges.kept_answers(cache)):
        ratings = ratings_of(
            turns, rater, duplicates=is_judged, cache=cache, prices=prices, say=console.say,
            confirm=lambda: None if url is None or yes else console.confirm("Ask it?"),
        )  # fmt: skip
    rows = turn_scores(turns, ratings, rule=rule, omega=omega, judged_duplicates=is_judged)
    console.say(printed(rows, omega=omega))
    return question_scores(rows, found, items, rule=rule)


def _write_batch(path: Path, turns: Sequence[Turn], judge: str, url: str | None, duplicates: bool) -> int:
    endpoint = judges.EndpointJudge(judge, base_url=url or judges.OPENAI_URL)
    more = [(duplicate_pairs(turns), endpoint.about(DUPLICATES))] if duplicates else []
    return judges.write_batch(path, coverage_pairs(turns), endpoint.about(COVERAGE), *more)


def printed(turns: pd.DataFrame, *, omega: float = 0.5) -> str:
    """Counts, and the means of turns in percent, as the published evaluations print them."""
    means = turns.mean(numeric_only=True)
    at = {"PAUC, omega 0": 0, "PAUC": omega, "PAUC, omega 1": 1}
    shown = ", ".join(f"{100 * means[name]:.2f} (omega {value:g})" for name, value in at.items())
    return (
        f"{turns['question_id'].nunique()} questions, {turns['PAUC'].count()} turns in PAUC, "
        f"{turns['immediate'].count()} immediate turns, {turns['errors'].sum()} pairs without a rating\n"
        f"in %: PAUC {shown}; duplicates {100 * means['duplicates']:.2f}; immediate score: {means['immediate']:.2f}"
    )


PROACTIVEVIDEOQA = Benchmark(
    name="proactivevideoqa",
    title="ProactiveVideoQA",
    summary="PAUC by a judge, and duplicates",
    item=ProactiveItem,
    asked=ProactiveAsked,
    question=ask,
    read=read_predictions,
    # the papers state neither threshold nor frame rate for MMDuet: as for MAGQA, slower, since videos last 6 minutes
    settings=Settings(frame_fps=1.0, threshold=0.5, heads=("informative", "relevance"), remove_assistant_turns=True),
    score=score,
    metrics=METRICS,
    errors="errors",
    headline=("PAUC", "duplicates, turn mean", "duplicates, ratio", "replies", "outside"),
    published=PUBLISHED,
    source=SOURCE,
    command=evaluate_files,
    scenes="test_proactivevideoqa.json",
)
