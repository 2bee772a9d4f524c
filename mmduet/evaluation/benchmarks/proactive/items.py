"""ProactiveVideoQA's files: the entries of a test file, and predictions in the benchmark's own forms."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr

from mmduet.errors import AnnotationError
from mmduet.evaluation.benchmark import Question, ask_conversation
from mmduet.evaluation.items import AskedItem, Seconds, Span, Spans
from mmduet.evaluation.prediction_file import PredictionFile, collect_predictions
from mmduet.files import read_jsonl, validated

LAST = 1.0  # s before a video's end; a subtitle there comes after the last frame, and cannot be shown


class ProactiveAnswer(BaseModel):
    """A reference answer.

    Attributes:
        content: Its text.
        reply_timespan: When a reply counts, s.
        related_timespan: What it is about, s; None: `reply_timespan`.
    """

    content: StrictStr
    reply_timespan: Span
    related_timespan: Span | None = None

    @property
    def related_end(self) -> float:
        """The end of what the answer is about, s."""
        return (self.related_timespan or self.reply_timespan)[1]


class ProactiveAsked(AskedItem):
    """A question as it is asked. The first user turn is the question; further ones are subtitles. duration: s."""

    duration: Annotated[Seconds, Field(gt=0)] | None = None


class ProactiveItem(ProactiveAsked):
    """A question with its reference answers."""

    answer: list[ProactiveAnswer] = Field(min_length=1)

    @property
    def spans(self) -> Spans:
        """The span of each answer in which a reply counts, with the answer's text."""
        return [(*answer.reply_timespan, answer.content) for answer in self.answer]


def ask(item: ProactiveAsked) -> Question:
    """The question and the subtitles, without those in the last second of the video."""
    question = ask_conversation(item)
    end = (item.duration or float("inf")) - LAST
    first, *subtitles = question.queries
    shown = (first, *(query for query in subtitles if query.time <= end))
    return replace(question, queries=shown)


def read_predictions(path: str | Path, references: Mapping[str, ProactiveItem]) -> PredictionFile:
    """Read a prediction file: this project's form, or one of the benchmark's.

    * ``{question_id, model_response_list: [{time, content, role}]}``, a line a question. A turn without role is a
      reply. Turns may come in any order.
    * ``{question_id, video_span: [start, end], answerable, model_response}``, a line a chunk of the video. One that is
      answerable is a reply at its end.

    Raises:
        DuetError: As `mmduet.evaluation.read_predictions`.
    """
    path = Path(path)
    lines = read_jsonl(path) if path.exists() else ()
    return collect_predictions(path, _joined(path, lines, references))


class _Chunk(BaseModel):
    """A line of a model that answers chunk by chunk."""

    question_id: StrictInt | StrictStr
    video_span: Span
    answerable: StrictBool | StrictStr
    model_response: StrictStr | list[StrictStr] = ""

    def reply(self, where: str) -> dict[str, Any] | None:
        """The chunk's reply; None if it is not answerable or has no words."""
        verdict = str(self.answerable).strip().lower()
        if verdict not in ("yes", "no", "true", "false"):
            raise AnnotationError(f"{where}: field answerable is {self.answerable!r}: must be yes or no.")
        said = self.model_response
        text = said if isinstance(said, str) else " ".join(said)
        return {"time": self.video_span[1], "content": text} if verdict in ("yes", "true") and text else None


def _joined(
    path: Path, lines: Iterable[tuple[int, Any]], references: Mapping[str, ProactiveItem]
) -> Iterator[tuple[int, Any]]:
    """The lines with what this project's form has in addition; the chunks of a question become one line."""
    chunks: dict[str, tuple[int, dict[str, Any]]] = {}
    for number, entry in lines:
        if not isinstance(entry, dict):
            yield number, entry
        elif "video_span" in entry or "answerable" in entry:
            where = f"{path}, line {number}"
            chunk = validated(where, _Chunk, entry, place="field")
            line = {"question_id": chunk.question_id, "model_response_list": []}
            _, line = chunks.setdefault(str(chunk.question_id), (number, line))
            if (reply := chunk.reply(where)) is not None:
                line["model_response_list"].append(reply)
        else:
            yield number, _completed(entry, references)
    for number, line in chunks.values():
        yield number, _completed(line, references)


def _completed(entry: dict[str, Any], references: Mapping[str, ProactiveItem]) -> dict[str, Any]:
    """A line with roles, times in order, scores and a duration; wrong fields are left for the reader to refuse.

    A reply after the video's end is outside every span, as in the published evaluations, and no mistake.
    """
    turns = entry.get("model_response_list")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return entry
    turns = [{"role": "assistant", **turn} for turn in turns]
    times = [time for turn in turns if type(time := turn.get("time")) in (int, float)]
    if len(times) == len(turns):
        turns.sort(key=lambda turn: turn["time"])
    duration = _duration(entry, references, times)
    return {"debug_data": []} | entry | {"model_response_list": turns, "video_duration": duration}


def _duration(entry: dict[str, Any], references: Mapping[str, ProactiveItem], times: list[float]) -> Any:
    """The line's duration, or else the reference's, s; at least until the last reply."""
    item = references.get(str(entry.get("question_id")))
    known = [item.duration or 0.0, *(end for _, end, _ in item.spans)] if item else []
    stated = entry.get("video_duration", max(known, default=0.0))
    if type(stated) not in (int, float):
        return stated
    return max([stated, *times]) or 1.0  # of a question without reference and replies nothing is known
