"""The schemas of references: what one question of a test file holds, checked when the file is read.

An item has ``question_id``, ``video`` (a file in the video folder) and ``spans``: (start s, end s, label), the times
at which something is due.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, Field, Strict, StrictInt, StrictStr, model_validator

from mmduet.errors import AnnotationError
from mmduet.evaluation.prediction_file import LONGEST, SLACK
from mmduet.files import inside, read_json, read_jsonl, validated

CLIP = 2.0  # s, the length of QVHighlights' clips
LABELS = ("relevant_clip_ids", "saliency_scores", "relevant_windows")  # fields of QVHighlights

Spans = list[tuple[float, float, str]]
Places = list[tuple[str, Any]]  # (position in words, value) of each value of a file
Schema = TypeVar("Schema", bound=BaseModel)


def _ordered(span: tuple[float, float]) -> tuple[float, float]:
    if span[1] < span[0]:
        raise ValueError(f"the span [{span[0]}, {span[1]}] ends before it starts")
    return span


def _in_folder(name: str) -> str:
    if not name.strip() or "\0" in name or inside(Path(), name) is None:
        raise ValueError("a video's name is a file in the video folder, not absolute and without a way out of it")
    return name


Seconds = Annotated[float, Strict(), Field(ge=0, le=LONGEST, allow_inf_nan=False)]
Span = Annotated[tuple[Seconds, Seconds], AfterValidator(_ordered)]
FileName = Annotated[StrictStr, AfterValidator(_in_folder)]
Stars = Annotated[int, Strict(), Field(ge=0, le=4)]


class Turn(BaseModel):
    """A turn of the conversation. time: s."""

    role: StrictStr
    content: StrictStr
    time: Seconds


def spans_of(item: Any) -> Spans:
    """The spans of an item of any benchmark; none if it states none."""
    return list(getattr(item, "spans", ()))


class Item(BaseModel):
    """A question about a video. video: a file in the video folder."""

    question_id: StrictInt | StrictStr
    video: FileName
    conversation: list[Turn]

    @property
    def spans(self) -> Spans:
        """No span: nothing states when something is due."""
        return []


class AskedItem(Item):
    """A question as `predict` needs it: the conversation has a turn of the user. Labels are ignored."""

    @model_validator(mode="after")
    def _is_asked(self) -> Self:
        if not any(turn.role == "user" for turn in self.conversation):
            raise ValueError(f"question {str(self.question_id)!r} has no turn of the user in its conversation: add one")
        return self


class Answer(BaseModel):
    """A reference answer, and the span in which it is due, s."""

    content: StrictStr
    time: Span


class AnsweredItem(Item):
    """A question of YouCook2 or MAGQA."""

    answer: list[Answer] = Field(min_length=1)

    @property
    def spans(self) -> Spans:
        """The span of each answer, with the answer's text."""
        return [(*answer.time, answer.content) for answer in self.answer]


class GroundedItem(Item):
    """A question of Charades-STA. timestamps: the spans that the query is about, s."""

    timestamps: list[Span] = Field(min_length=1)

    @property
    def spans(self) -> Spans:
        """The spans, with the query's text if there is a query."""
        query = self.conversation[0].content if self.conversation else ""
        return [(start, end, query) for start, end in self.timestamps]


class HighlightQuery(BaseModel):
    """A query of QVHighlights without labels, as in its test split."""

    qid: StrictInt
    query: StrictStr
    duration: Annotated[Seconds, Field(gt=0)]
    vid: FileName

    @property
    def question_id(self) -> str:
        """The qid as text, the key of prediction files."""
        return str(self.qid)

    @property
    def video(self) -> str:
        """The file in the video folder."""
        return f"{self.vid}.mp4"


class HighlightItem(HighlightQuery):
    """A query of QVHighlights with labels. Clips last 2 s; three people rated each relevant clip from 0 to 4."""

    relevant_clip_ids: list[Annotated[int, Strict(), Field(ge=0)]]
    saliency_scores: list[tuple[Stars, Stars, Stars]]
    relevant_windows: Annotated[list[Span], Field(max_length=1000)]

    @model_validator(mode="before")
    @classmethod
    def _has_labels(cls, entry: Any) -> Any:
        if isinstance(entry, dict) and "qid" in entry and not any(name in entry for name in LABELS):
            raise ValueError(
                f"the query has no labels ({', '.join(LABELS)}), as in QVHighlights' test split, so nothing can be "
                "measured: write its predictions for the official server with `mmduet export qvhighlights`"
            )
        return entry

    @model_validator(mode="after")
    def _labels_fit(self) -> Self:
        ids, ratings = self.relevant_clip_ids, self.saliency_scores
        if len(ids) != len(ratings):
            raise ValueError(f"{len(ids)} relevant_clip_ids have {len(ratings)} saliency_scores: each has one")
        if len(set(ids)) < len(ids):
            raise ValueError("relevant_clip_ids names a clip twice")
        if ids and CLIP * max(ids) >= self.duration:
            raise ValueError(f"relevant_clip_ids names clip {max(ids)}, which starts after {self.duration:g} s")
        if any(end > self.duration + SLACK for _, end in self.relevant_windows):
            raise ValueError(f"a window of relevant_windows ends after {self.duration:g} s")
        return self

    @property
    def spans(self) -> Spans:
        """The relevant windows, with the query's text."""
        return [(start, end, self.query) for start, end in self.relevant_windows]


def read_items(
    path: str | Path, schema: type[Schema], entries: Callable[[Places], Places] | None = None
) -> dict[str, Schema]:
    """Read a test file: a JSON list, or JSON Lines if its name ends in ``.jsonl``.

    Args:
        path: The file.
        schema: The schema of each entry. It has ``question_id``.
        entries: Makes of the file's values its entries; None: each value is one.

    Returns:
        Question id -> item, in the order of the file.

    Raises:
        AnnotationError: The file is missing, empty or not of this schema, or a question comes twice. The message names
            the file, the entry and the field.
    """
    values = _entries(path)
    found = values if entries is None else entries(values)
    items = [validated(path, schema, entry, place=f"{place} /") for place, entry in found]
    if not items:
        raise AnnotationError(f"{path} holds no questions: give a benchmark's test file.")
    names = [str(item.question_id) for item in items]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise AnnotationError(f"{path}: question {twice[0]!r} comes more than once; keep one of its entries.")
    return dict(zip(names, items, strict=True))


def _entries(path: str | Path) -> Places:
    path = Path(path)
    if path.suffix == ".jsonl":
        return [(f"line {line}, entry {i}", entry) for i, (line, entry) in enumerate(read_jsonl(path))]
    return [(f"entry {i}", entry) for i, entry in enumerate(validated(path, list[Any], read_json(path), place="file"))]
