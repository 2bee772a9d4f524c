"""OVO-Bench's entries: what each of its twelve tasks asks, and when.

*Backward* and *real-time* tasks are multiple choice, asked once. The *forward* tasks ask the same thing at several test
points: how often an activity has happened (REC), whether a step is being done (SSR), and whether enough has been seen
to answer (CRR). Niu et al., arXiv 2501.05510.
"""

from copy import deepcopy
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    Strict,
    StrictInt,
    StrictStr,
    model_validator,
)

from mmduet.evaluation.items import FileName, Seconds, Spans

GROUPS = {
    "Real-time": ("OCR", "ACR", "ATR", "STU", "FPD", "OJR"),
    "Backward": ("EPM", "ASI", "HLD"),
    "Forward": ("REC", "SSR", "CRR"),
}
TASKS = tuple(task for tasks in GROUPS.values() for task in tasks)
LETTERS = ascii_uppercase  # of options
DELAY = 2.0  # s between the start of an action and the time at which a reply is due
TOLERANCE = 2.0  # s between a reply and the time at which it is due


@dataclass(frozen=True, slots=True)
class TestPoint:
    """A question at a time.

    Attributes:
        name: The name of the official clip without its suffix: ``ID``, in forward tasks ``ID_INDEX``.
        time: When it is asked, s.
        query: The question, with the form of its answer.
        reference: The index of the option, the count, or whether the answer is yes.
    """

    __test__ = False  # no test of pytest

    name: str
    time: float
    query: str
    reference: int


class OvoItem(BaseModel):
    """An entry of any task. It is validated as its task's kind."""

    kind: ClassVar[str] = ""  # the reading of its answers: a field of `answers.Rule`

    id: StrictInt | StrictStr
    task: StrictStr
    video: FileName
    _annotation: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _as_its_kind(cls, entry: Any, handler: ModelWrapValidatorHandler[Self]) -> Any:
        if cls is not OvoItem or not isinstance(entry, dict):
            return handler(entry)
        if (task := entry.get("task")) not in TASKS:
            raise ValueError(f"task {task!r} is not known: use one of {', '.join(TASKS)}")
        item = KINDS.get(task, ChoiceItem).model_validate(entry)
        item._annotation = entry
        return item

    @property
    def annotation(self) -> dict[str, Any]:
        """A copy of the entry as the file has it."""
        return deepcopy(self._annotation)

    @property
    def question_id(self) -> str:
        """The id as text, the key of prediction files."""
        return str(self.id)

    @property
    def points(self) -> list[TestPoint]:
        """The test points, in the order of the file."""
        raise NotImplementedError

    @property
    def options(self) -> tuple[str, ...]:
        """The options of a choice; none in forward tasks."""
        return ()

    @property
    def spans(self) -> Spans:
        """The times around which a reply is due; none in multiple choice."""
        return []

    def _point(self, index: int, time: float, query: str, reference: int) -> TestPoint:
        return TestPoint(f"{self.id}_{index}", time, query, reference)


class ChoiceItem(OvoItem):
    """A backward or real-time question. gt: index of the right option."""

    kind = "choice"

    realtime: Seconds
    question: StrictStr
    texts: Annotated[list[StrictStr], Field(min_length=2, max_length=len(LETTERS), validation_alias="options")]
    gt: Annotated[int, Strict(), Field(ge=0)]

    @model_validator(mode="after")
    def _names_an_option(self) -> Self:
        if self.gt >= len(self.texts):
            raise ValueError(f"gt {self.gt} names none of {len(self.texts)} options: it is an index from 0")
        return self

    @property
    def options(self) -> tuple[str, ...]:
        """The options' texts."""
        return tuple(self.texts)

    @property
    def points(self) -> list[TestPoint]:
        """One point, at `realtime`."""
        listed = " ".join(f"{letter}. {text};" for letter, text in zip(LETTERS, self.texts, strict=False))
        return [TestPoint(self.question_id, self.realtime, f"{self.question} {listed} Answer with a letter.", self.gt)]


class ForwardItem(OvoItem):
    """An entry that is asked at several test points, or watched as one stream."""

    @property
    def times(self) -> list[float]:
        """Online: when replies are due, s."""
        raise NotImplementedError

    @property
    def stream(self) -> tuple[float, float]:
        """Online: start and end of the stream, s."""
        return 0.0, self.points[-1].time

    @property
    def query(self) -> str:
        """Online: the one query, asked at the stream's start."""
        raise NotImplementedError

    @property
    def spans(self) -> Spans:
        """The times within TOLERANCE of one at which a reply is due."""
        return [(max(0.0, time - TOLERANCE), time + TOLERANCE, f"due at {time:g} s") for time in self.times]


class CountPoint(BaseModel):
    """A test point of REC. realtime: s."""

    realtime: Seconds
    count: Annotated[int, Strict(), Field(ge=0)]


class CountItem(ForwardItem):
    """REC. start_times: the starts of the activity, s."""

    kind = "count"

    activity: StrictStr
    start_times: list[Seconds]
    test_info: Annotated[list[CountPoint], Field(min_length=1)]

    @property
    def points(self) -> list[TestPoint]:
        """How often has it happened so far?"""
        query = f"How many times has this happened so far: {self.activity}? Answer with a number."
        return [self._point(i, point.realtime, query, point.count) for i, point in enumerate(self.test_info)]

    @property
    def times(self) -> list[float]:
        """DELAY after each start."""
        return [start + DELAY for start in self.start_times]

    @property
    def query(self) -> str:
        """How many times does it happen?"""
        return f"How many times does this happen: {self.activity}? Tell me each time."


class StepPoint(BaseModel):
    """A test point of SSR. realtime: s; type: 1 if the step is being done."""

    realtime: Seconds
    step: StrictStr
    type: Literal[0, 1]


class StepItem(ForwardItem):
    """SSR. start_time: the starts of the steps, s."""

    kind = "yes_no"

    tutorial: StrictStr
    start_time: list[Seconds]
    test_info: Annotated[list[StepPoint], Field(min_length=1)]

    @property
    def points(self) -> list[TestPoint]:
        """Is this step being done now?"""
        return [
            self._point(i, p.realtime, f"Is this step being done now: {p.step}? Answer yes or no.", p.type)
            for i, p in enumerate(self.test_info)
        ]

    @property
    def times(self) -> list[float]:
        """DELAY after each start."""
        return [start + DELAY for start in self.start_time]

    @property
    def query(self) -> str:
        """Describe the steps."""
        return f"Describe each step as it is done: {spaced(self.tutorial)}."


class CluePoint(BaseModel):
    """A test point of CRR. realtime: s; type: 1 if enough has been seen."""

    realtime: Seconds
    type: Literal[0, 1]


class ClueItem(ForwardItem):
    """CRR. ask_time, clue_time: when the question is asked and when it can be answered, s."""

    kind = "yes_no"

    question: StrictStr
    ask_time: Seconds
    clue_time: Seconds
    test_info: Annotated[list[CluePoint], Field(min_length=1)]

    @property
    def points(self) -> list[TestPoint]:
        """Is there enough to answer yet?"""
        query = f"{self.question} Has enough been seen to answer this? Answer yes or no."
        return [self._point(i, point.realtime, query, point.type) for i, point in enumerate(self.test_info)]

    @property
    def times(self) -> list[float]:
        """When the clue is seen."""
        return [self.clue_time]

    @property
    def stream(self) -> tuple[float, float]:
        """From the question to the last test point, s."""
        return self.ask_time, self.points[-1].time

    @property
    def query(self) -> str:
        """The entry's question."""
        return self.question


KINDS: dict[str, type[OvoItem]] = {"REC": CountItem, "SSR": StepItem, "CRR": ClueItem}  # others: ChoiceItem


def spaced(name: str) -> str:
    """A CamelCase name as lower-case words."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
