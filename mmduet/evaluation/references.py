"""What the four benchmarks hold true: their test files, checked where they enter."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, Strict, StrictInt, StrictStr, model_validator

from mmduet.errors import AnnotationError
from mmduet.evaluation.predictions import LONGEST, SLACK
from mmduet.files import inside, read_json, read_jsonl, validated

CLIP = 2.0  # s, of QVHighlights
LABELS = ("relevant_clip_ids", "saliency_scores", "relevant_windows")  # of QVHighlights


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
    """A question. time: s."""

    role: StrictStr
    content: StrictStr
    time: Seconds


class Item(BaseModel):
    """A question about a video. video: its file, in the video folder."""

    question_id: StrictInt | StrictStr
    video: FileName
    conversation: list[Turn]


class Answer(BaseModel):
    """A gold text and the span in which it is due, s."""

    content: StrictStr
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


class HighlightQuery(BaseModel):
    """Of QVHighlights, as its test split has it: without labels."""

    qid: StrictInt
    query: StrictStr
    duration: Annotated[Seconds, Field(gt=0)]
    vid: FileName

    @property
    def question_id(self) -> str:
        """The qid, as prediction files are keyed."""
        return str(self.qid)

    @property
    def video(self) -> str:
        """Its file, in the video folder."""
        return f"{self.vid}.mp4"


class HighlightItem(HighlightQuery):
    """Of QVHighlights, as its release has it. Clips last 2 s; three people rated each relevant clip from 0 to 4."""

    relevant_clip_ids: list[Annotated[int, Strict(), Field(ge=0)]]
    saliency_scores: list[tuple[Stars, Stars, Stars]]
    relevant_windows: Annotated[list[Span], Field(max_length=1000)]

    @model_validator(mode="after")
    def _labels_fit(self):
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
    def spans(self) -> list[tuple[float, float, str]]:
        """Start and end, s, and the query."""
        return [(start, end, self.query) for start, end in self.relevant_windows]


BENCHMARKS: dict[str, Any] = {
    "youcook2": AnsweredItem,
    "magqa": AnsweredItem,
    "charades_sta": GroundedItem,
    "qvhighlights": HighlightItem,
}


def read_references(path: str | Path, benchmark: str) -> dict[str, Any]:
    """question -> item of a benchmark's test file, JSON or JSON lines. benchmark: youcook2, magqa, charades_sta or
    qvhighlights.

    Raises AnnotationError naming the file, the entry, the field and what is wrong with it; and for a file without
    labels, as QVHighlights' test split is.
    """
    entries = read_entries(path)
    if benchmark == "qvhighlights" and entries and not any(_has_labels(entry) for _, entry in entries):
        raise AnnotationError(
            f"{path} has no labels ({', '.join(LABELS)}), as QVHighlights' test split has none, so there is nothing to "
            "measure against: write its predictions for the official server with `mmduet export qvhighlights`."
        )
    return _by_question(path, BENCHMARKS[benchmark], entries)


def read_asked(path: str | Path) -> list[Item] | list[HighlightQuery]:
    """The items of a test file, of any benchmark, as far as they are asked: labels are not looked at.

    Raises AnnotationError naming the file, the entry, the field and what is wrong with it; also for an item that asks
    nothing.
    """
    entries = read_entries(path)
    if entries and isinstance(entries[0][1], dict) and "qid" in entries[0][1]:
        return list(_by_question(path, HighlightQuery, entries).values())
    items = _by_question(path, Item, entries)
    for name, item in items.items():
        if not any(turn.role == "user" for turn in item.conversation):
            raise AnnotationError(f"{path}: question {name!r} has no turn of the user in its conversation: add one.")
    return list(items.values())


def read_queries(path: str | Path) -> dict[str, HighlightQuery]:
    """qid -> query of QVHighlights' release, of any split. Raises AnnotationError as `read_asked`."""
    return _by_question(path, HighlightQuery, read_entries(path))


def read_entries(path: str | Path) -> list[tuple[str, Any]]:
    """(its place in words, entry) of a JSON list or a JSON Lines file; AnnotationError where it is neither."""
    path = Path(path)
    if path.suffix == ".jsonl":
        return [(f"line {line}, entry {i}", entry) for i, (line, entry) in enumerate(read_jsonl(path))]
    return [(f"entry {i}", entry) for i, entry in enumerate(validated(path, list[Any], read_json(path), place="file"))]


def _by_question(path: str | Path, kind: Any, entries: list[tuple[str, Any]]) -> dict[str, Any]:
    items = [validated(path, kind, entry, place=f"{place} /") for place, entry in entries]
    if not items:
        raise AnnotationError(f"{path} holds no questions: give a benchmark's test file.")
    names = [str(item.question_id) for item in items]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise AnnotationError(f"{path}: question {twice[0]!r} comes more than once; keep one of its entries.")
    return dict(zip(names, items, strict=True))


def _has_labels(entry: Any) -> bool:
    return isinstance(entry, dict) and any(name in entry for name in LABELS)
