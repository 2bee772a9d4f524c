"""Rating: ask a judge about pairs of replies and reference answers.

`rate` keeps the judge's answers in a file, so that nothing is asked twice. A judge is a model on this computer, or an
OpenAI-compatible endpoint, which can also be asked through batch files.
"""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from mmduet.errors import DuetError
from mmduet.evaluation.judges.answer_cache import AnswerCache
from mmduet.evaluation.judges.rating import Asked, Judge, Rating, Texts, rubric_of


def rate(pairs: Sequence[Asked], judge: Judge, *, cache: str | Path | None = None) -> dict[str, Rating]:
    """Ask a judge about every pair, and about the same texts once. Warns if there are errors.

    Args:
        pairs: The pairs.
        judge: The judge.
        cache: A file that keeps all answers, also those without a grade. A request that failed is not kept, so the next
            run asks it again.

    Returns:
        ``custom_id`` -> rating.
    """
    kept = AnswerCache(cache)
    known = {texts: rubric_of(judge).read(text) for texts, text in kept.of(judge).items()}
    missing = _missing(pairs, known)
    # closed in any case: after an error an endpoint must not be asked further
    with closing(kept), closing(judge.ask(missing)) as answers:
        if missing:
            kept.open()
        for texts, rating in tqdm(answers, desc="judge", unit="pair", total=len(missing)):
            known[texts] = rating
            if rating.text is not None:
                kept.add(judge, texts, rating.text)
    ratings = {pair.custom_id: known[pair.texts] for pair in pairs}
    failed = errors(pairs, ratings)
    if len(failed):
        first = failed.iloc[0]
        warnings.warn(
            f"{len(failed)} of {len(pairs)} ratings are errors and count nowhere, the first of question "
            f"{first['question_id']!r}: {first['reason']}",
            stacklevel=2,
        )
    return ratings


def errors(pairs: Iterable[Asked], ratings: Mapping[str, Rating]) -> pd.DataFrame:
    """A table of the pairs without a rating: index ``custom_id``, with the reason and the judge's answer."""
    none = Rating(None, None, "not rated")
    rows = {
        pair.custom_id: (pair.question_id, *pair.texts, rating.reason, rating.text)
        for pair in pairs
        if (rating := ratings.get(pair.custom_id, none)).value is None
    }
    columns = ["question_id", "question", "gold", "reply", "reason", "text"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("custom_id")


def check_any_rated(pairs: Sequence[Asked], ratings: Mapping[str, Rating]) -> None:
    """Refuse ratings without any grade: a figure would be that of the answers without a reply.

    Raises:
        DuetError: There are pairs, and none has a rating.
    """
    failed = errors(pairs, ratings)
    if len(failed) and len(failed) == len(pairs):
        first = failed.iloc[0]
        raise DuetError(
            f"none of {len(failed)} pairs has a rating, the first of question {first['question_id']!r}: "
            f"{first['reason']}: correct the judge, or give the ratings of these predictions."
        )


def _missing(pairs: Iterable[Asked], known: Mapping[Texts, Any]) -> list[Texts]:
    return list(dict.fromkeys(pair.texts for pair in pairs if pair.texts not in known))


@dataclass(frozen=True, slots=True)
class Workload:
    """What `rate` will do.

    Attributes:
        pairs: All pairs.
        cached: Pairs that are answered already.
        asked: Requests; the same texts are asked once.
        input_tokens: About, characters of the prompts / 4.
        output_tokens: About, 2 a request.
        cost: None without prices.
    """

    pairs: int
    cached: int
    asked: int
    input_tokens: int
    output_tokens: int
    cost: float | None

    def __str__(self) -> str:
        cost = "" if self.cost is None else f", cost about {self.cost:.2f}"
        return (
            f"{self.pairs} pairs, {self.cached} of them answered already; {self.asked} to ask: "
            f"about {self.input_tokens} tokens in and {self.output_tokens} out{cost}"
        )


def estimate(
    pairs: Sequence[Asked],
    judge: Judge,
    *,
    cache: str | Path | None = None,
    prices: tuple[float, float] | None = None,
) -> Workload:
    """Count what `rate` will ask, without asking.

    Args:
        pairs: The pairs.
        judge: The judge.
        cache: The file of its answers.
        prices: The prices of a million input tokens and of a million output tokens.

    Raises:
        DuetError: A price is negative, infinite or NaN.
    """
    if prices is not None and not all(0 <= price < math.inf for price in prices):
        raise DuetError(f"prices={prices}: a price is 0 or more.")
    known = AnswerCache(cache).of(judge)
    missing = _missing(pairs, known)
    input_tokens = math.ceil(sum(len(rubric_of(judge).prompt(texts)) for texts in missing) / 4)
    output_tokens = 2 * len(missing)
    cost = None if prices is None else (input_tokens * prices[0] + output_tokens * prices[1]) / 1e6
    cached = sum(pair.texts in known for pair in pairs)
    return Workload(len(pairs), cached, len(missing), input_tokens, output_tokens, cost)
