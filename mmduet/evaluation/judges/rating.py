"""The question to a judge about a reply, and its rating: a number, or an error."""

import hashlib
import json
import re
from collections.abc import Callable, Generator, Sequence
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
_THOUGHT = re.compile(r"^.*</think>|<think>.*$", re.DOTALL)
_NUMBER = re.compile(r"[-−]?\d+(?:[.,]\d+)?")

# question, reference answer, reply
Texts = tuple[str, str, str]


class Asked(Protocol):
    """What is asked about. `Pair` is MAGQA's."""

    @property
    def custom_id(self) -> str:
        """Its name in batch files."""
        ...

    @property
    def question_id(self) -> str:
        """The question that it belongs to."""
        ...

    @property
    def texts(self) -> Texts:
        """What the judge reads."""
        ...


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference answer and a reply to one question.

    Attributes:
        golds: Indices of the reference answers with this text.
        replies: Indices of the replies with this text.
        texts: Question, reference answer, reply.
    """

    question_id: str
    golds: tuple[int, ...]
    replies: tuple[int, ...]
    texts: Texts

    @property
    def custom_id(self) -> str:
        """``QUESTION*REFERENCE,…*REPLY,…``, the name of a pair in the published batch files."""
        return f"{self.question_id}*{','.join(map(str, self.golds))}*{','.join(map(str, self.replies))}"


@dataclass(frozen=True, slots=True)
class Rating:
    """A judge's rating.

    Attributes:
        value: A number, from 1 to 5 for `GRADES`; None: an error.
        text: The judge's answer; None: it gave none.
        reason: The reason of an error.
    """

    value: int | None
    text: str | None
    reason: str = ""


Ratings = Generator[tuple[Texts, Rating], None, None]


@dataclass(frozen=True, slots=True)
class Rubric:
    """What a judge is asked, and how its answer is read.

    Attributes:
        template: The question to the judge, with ``{question}``, ``{gold}`` and ``{reply}``.
        read: Answer -> rating.
    """

    template: str
    read: Callable[[str], Rating]

    @property
    def version(self) -> str:
        """A part of a judge's identity: cached answers to another prompt are not used."""
        return hashlib.sha256(self.template.encode()).hexdigest()[:8]

    def prompt(self, texts: Texts) -> str:
        """The question to a judge, one turn of the user: some chat templates have no system role."""
        question, gold, reply = texts
        return self.template.format(question=question, gold=gold, reply=reply)


class Judge(Protocol):
    """Rates replies. One that follows another rubric than `GRADES` has it as `rubric`."""

    @property
    def identity(self) -> str:
        """Everything that its ratings depend on."""
        ...

    def ask(self, asked: Sequence[Texts]) -> Ratings:
        """Rate each reply; ratings come in any order."""
        ...


class ChatJudge(Judge, Protocol):
    """A judge that can be asked according to any rubric."""

    def about(self, rubric: Rubric) -> Judge:
        """The same judge, asked according to a rubric."""
        ...


def prompt(texts: Texts) -> str:
    """The question to a judge according to `GRADES`."""
    return GRADES.prompt(texts)


def read_rating(text: str, *, highest: int = 5) -> Rating:
    """Read the one number from 1 to `highest` of an answer; text in <think> is ignored.

    An answer without a number, with another number, or with several different ones is an error.
    """
    numbers = {re.sub(r"[.,]0+$", "", number) for number in _NUMBER.findall(_THOUGHT.sub("", text))}
    if not numbers:
        return Rating(None, text, "no number")
    if len(numbers) > 1:
        return Rating(None, text, f"different numbers: {', '.join(sorted(numbers))}")
    (number,) = numbers
    if number not in map(str, range(1, highest + 1)):
        return Rating(None, text, f"{number} is no integer from 1 to {highest}")
    return Rating(int(number), text)


GRADES = Rubric(PROMPT, read_rating)


def rubric_of(judge: Judge) -> Rubric:
    """What a judge is asked; `GRADES`, if it does not say."""
    rubric: Rubric = getattr(judge, "rubric", GRADES)
    return rubric


def read_completion(body: Any, read: Callable[[str], Rating] = read_rating) -> Rating:
    """Read the rating of a chat completion; a completion without content is an empty answer."""
    try:
        content = body["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        content = 0
    if content is None or isinstance(content, str):
        return read(content or "")
    return Rating(None, None, f"no chat completion: {written(body)}")


def written(value: Any) -> str:
    """The beginning of a value as JSON."""
    try:
        return json.dumps(value, ensure_ascii=False)[:300]
    except RecursionError:
        return "nested too deeply"


def parse_json(text: str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: It is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def check_at_least_one(judge: Judge, *names: str) -> None:
    """Refuse a judge with a number below 1.

    Raises:
        DuetError: One of the fields is below 1.
    """
    for name in names:
        if (value := getattr(judge, name)) < 1:
            raise DuetError(f"{name}={value}: must be at least 1.")
