"""What judges of ProactiveVideoQA are asked, and a judge whose answers are in a file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from pydantic import BaseModel, StrictStr

from mmduet.evaluation.judges.rating import Rating, Ratings, Rubric, Texts, read_rating
from mmduet.files import read_json, validated

_COVERAGE = """\
You grade what a system has said about a video so far. Does it cover the key points of the correct answer?

3: nearly all of them; small slips and other words are fine
2: a part of them, or with clear mistakes
1: wrong, off the question, or of poor quality

Question: {question}
Ground Truth Answer: {gold}
Predicted Answer: {reply}

Write the grade: 1, 2 or 3, and nothing else."""
_DUPLICATES = """\
A system speaks while it watches a video. Does its new reply only repeat what it said before?

Compare what can be seen in the video alone. The reply is a repetition if it names nothing visible that the earlier \
replies did not name.

Earlier replies: {gold}
New reply: {reply}

Write yes if it is a repetition, no if it is not, and nothing else."""
_VERDICT = re.compile(r"\s*(?:(yes)|(?:no|not)\b)", re.IGNORECASE)
YES, NO = 1, 0  # ratings of DUPLICATES


def read_verdict(text: str) -> Rating:
    """Read an answer that begins with yes (1) or no (0); any other one is an error."""
    found = _VERDICT.match(text)
    return Rating(YES if found[1] else NO, text) if found else Rating(None, text, "neither yes nor no")


# a rating is the score of PAUC plus 1
COVERAGE = Rubric(_COVERAGE, partial(read_rating, highest=3))
DUPLICATES = Rubric(_DUPLICATES, read_verdict)


class _Similarity(BaseModel):
    question: StrictStr
    gold: StrictStr
    predicted: StrictStr
    answer: StrictStr


class _Repetition(BaseModel):
    previous: StrictStr
    new: StrictStr
    answer: StrictStr


class _Answers(BaseModel):
    similarity: list[_Similarity]
    repetition: list[_Repetition] = []


@dataclass(frozen=True)
class GivenAnswers:
    """A judge whose answers are in a file, by the texts that it was asked about.

    Attributes:
        path: JSON with ``similarity: [{question, gold, predicted, answer}]`` and
            ``repetition: [{previous, new, answer}]``.
        rubric: COVERAGE or DUPLICATES.
    """

    path: Path
    rubric: Rubric = field(default=COVERAGE, repr=False)

    @property
    def identity(self) -> str:
        """The file."""
        return f"answers {self.path}"

    def about(self, rubric: Rubric) -> "GivenAnswers":
        """The answers according to another rubric."""
        return replace(self, rubric=rubric)

    def ask(self, asked: Sequence[Texts]) -> Ratings:
        """Rate each reply; one without an answer is an error.

        Raises:
            AnnotationError: The file is missing or of another form.
        """
        for texts in asked:
            answer = self._answers.get(texts)
            yield texts, Rating(None, None, "not in the file") if answer is None else self.rubric.read(answer)

    @cached_property
    def _answers(self) -> dict[Texts, str]:
        found = validated(self.path, _Answers, read_json(self.path), place="field")
        if self.rubric == DUPLICATES:
            return {("", row.previous, row.new): row.answer for row in found.repetition}
        return {(row.question, row.gold, row.predicted): row.answer for row in found.similarity}
