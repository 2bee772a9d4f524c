"""What the four benchmarks hold true: their test files, checked where they enter."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from mmduet.data.annotations import Seconds, Span
from mmduet.errors import AnnotationError
from mmduet.files import read_json, read_jsonl, validated


class Turn(BaseModel):
    """A question. time: s."""

    role: str
    content: str
    time: Seconds


class Item(BaseModel):
    """A question about a video. video: its file, in the video folder."""

    question_id: int | str
    video: str
    conversation: list[Turn]


class Answer(BaseModel):
    """A gold text and the span in which it is due, s."""

    content: str
    time: Span


class AnsweredItem(Item):
    """Of YouCook2 and MAGQA."""

    answer: list[Answer] = Field(min_length=1)

    @property
    def spans(self) -> list[tuple[float, float, str]]:
        """Start and end, s, and the text that is due."""
        return [(*answer.time, answer.content) for answer in self.answer]


class GroundedItem(Item):
    """Of Charades-STA. timestamps: the spans that the query is about, s."""

    timestamps: list[Span] = Field(min_length=1)

    @property
    def spans(self) -> list[tuple[float, float, str]]:
        """Start and end, s, and the query, if there is one."""
        query = self.conversation[0].content if self.conversation else ""
        return [(start, end, query) for start, end in self.timestamps]


class HighlightItem(BaseModel):
    """Of QVHighlights, as its release has it. Clips last 2 s; three people rated each relevant clip from 0 to 4."""

    qid: int
    query: str
    duration: float
    vid: str
    relevant_clip_ids: list[int]
    saliency_scores: list[tuple[int, int, int]]
    relevant_windows: list[Span]

    @property
    def question_id(self) -> str:
        """The qid, as prediction files are keyed."""
        return str(self.qid)

    @property
    def video(self) -> str:
        """Its file, in the video folder."""
        return f"{self.vid}.mp4"

    @property
    def spans(self) -> list[tuple[float, float, str]]:
        """Start and end, s, and the query."""
        return [(start, end, self.query) for start, end in self.relevant_windows]


BENCHMARKS: dict[str, Any] = {
    "youcook2": list[AnsweredItem],
    "magqa": list[AnsweredItem],
    "charades_sta": list[GroundedItem],
    "qvhighlights": list[HighlightItem],
}


def read_references(path: str | Path, benchmark: str) -> dict[str, Any]:
    """question -> item of a benchmark's test file, JSON or JSON lines. benchmark: youcook2, magqa, charades_sta or
    qvhighlights.

    Raises AnnotationError naming the file, the entry, the field and what is wrong with it.
    """
    path = Path(path)
    items = validated(path, BENCHMARKS[benchmark], read_entries(path))
    by_id = {str(item.question_id): item for item in items}
    if len(by_id) < len(items):
        names = [str(item.question_id) for item in items]
        twice = next(name for name in names if names.count(name) > 1)
        raise AnnotationError(f"{path}: question {twice!r} comes more than once; keep one of its entries.")
    return by_id


def read_entries(path: Path) -> Any:
    """What a JSON or JSON Lines file holds; AnnotationError where it is neither."""
    if path.suffix != ".jsonl":
        return read_json(path)
    return [entry for _, entry in read_jsonl(path)]
