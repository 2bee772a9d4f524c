"""What a judge is asked about a reply, and the rating that it gives: 1 to 5, or an error."""

import hashlib
import json
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mmduet.errors import DuetError

PROMPT = """\
You grade what a system said about a video. Compare its reply with the correct answer to the question.

5: the reply says all of the correct answer and nothing against it
4: the reply says nearly all of it; a detail is missing or slightly off
3: the reply says part of it; another part is missing or wrong
2: the reply touches on it, but is mostly wrong or about something else
1: the reply is wrong, about something else, or empty

Question: {question}
Correct answer: {gold}
Reply: {reply}

Write the grade: one integer from 1 to 5, and nothing else."""
# a changed wording is another judge: its answers are not taken for the old one's
PROMPT_VERSION = hashlib.sha256(PROMPT.encode()).hexdigest()[:8]
_THOUGHT = re.compile(r"^.*</think>|<think>.*$", re.DOTALL)
_NUMBER = re.compile(r"[-−]?\d+(?:[.,]\d+)?")

# what is judged: question, gold answer, reply
Texts = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Pair:
    """A gold answer and a reply to one question. golds, replies: indices of all that have these very texts."""

    question_id: str
    golds: tuple[int, ...]
    replies: tuple[int, ...]
    texts: Texts

    @property
    def custom_id(self) -> str:
        """`QUESTION*GOLD,…*REPLY,…`, as the published batch files name a pair."""
        return f"{self.question_id}*{','.join(map(str, self.golds))}*{','.join(map(str, self.replies))}"


@dataclass(frozen=True, slots=True)
class Rating:
    """value: 1 to 5, or None: an error. text: what the judge wrote; None: it wrote nothing. reason: of an error."""

    value: int | None
    text: str | None
    reason: str = ""


Ratings = Generator[tuple[Texts, Rating], None, None]


class Judge(Protocol):
    """Rates replies."""

    @property
    def identity(self) -> str:
        """All that its ratings depend on."""
        ...

    def ask(self, asked: Sequence[Texts]) -> Ratings:
        """A rating for each, in any order, as they come."""
        ...


def prompt(texts: Texts) -> str:
    """What a judge is asked, as one user turn: some chat templates have no system role."""
    question, gold, reply = texts
    return PROMPT.format(question=question, gold=gold, reply=reply)


def read_rating(text: str) -> Rating:
    """The one number from 1 to 5 that a judge wrote; an error where it wrote none, another, or several different.

    What stands in <think> is not read.
    """
    numbers = {re.sub(r"[.,]0+$", "", number) for number in _NUMBER.findall(_THOUGHT.sub("", text))}
    if not numbers:
        return Rating(None, text, "no number")
    if len(numbers) > 1:
        return Rating(None, text, f"different numbers: {', '.join(sorted(numbers))}")
    (number,) = numbers
    if number not in ("1", "2", "3", "4", "5"):
        return Rating(None, text, f"{number} is no integer from 1 to 5")
    return Rating(int(number), text)


def read_completion(body: Any) -> Rating:
    """Of a chat completion; an answer without content is an empty one."""
    try:
        content = body["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        content = 0
    if content is None or isinstance(content, str):
        return read_rating(content or "")
    return Rating(None, None, f"no chat completion: {written(body)}")


def written(value: Any) -> str:
    """JSON, its beginning."""
    try:
        return json.dumps(value, ensure_ascii=False)[:300]
    except RecursionError:
        return "nested too deeply"


def parse_json(text: str) -> Any:
    """Of JSON; ValueError where it is none, or nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def check_at_least_one(judge: Judge, *names: str) -> None:
    for name in names:
        if (value := getattr(judge, name)) < 1:
            raise DuetError(f"{name}={value}: must be at least 1.")
