"""MAGQA: a question about a video and several answers along it.

`[{video_uid, video_start_time, conversation: [{role, content, time, timespan?, learn?}]}]`, times in seconds into the
video.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from mmduet.data.annotations import Flag, Name, Seconds, Span, Text
from mmduet.data.conversations import Clock, Conversation, labelled_stream, truncate
from mmduet.data.kinds.kind import AnnotatedText, AnnotationKind, Entry
from mmduet.files import place_of
from mmduet.model.prompt import TextTurn, Turn

MAX_LEAD_IN = 20  # frames before a first question


class MagqaTurn(BaseModel):
    """One turn.

    Attributes:
        role: Who speaks.
        content: The words.
        time: When they are spoken.
        timespan: Start and end of what an answer is about; an answer needs it.
        learn: Whether an answer is a training target.
    """

    role: Literal["user", "assistant"]
    content: Text
    time: Seconds
    timespan: Span | None = None
    learn: Flag = True

    @model_validator(mode="after")
    def _answer_has_span(self) -> Self:
        if self.role == "assistant" and self.timespan is None:
            raise ValueError("an assistant turn needs a timespan")
        return self


class MagqaItem(BaseModel):
    """A question and its answers along one video."""

    video_uid: Name
    video_start_time: Seconds = 0
    conversation: list[MagqaTurn] = Field(min_length=1)


def magqa_conversation(item: MagqaItem, clock: Clock, *, rng: Random, max_frames: int) -> Conversation:
    """A few frames, the question, then for each answer the frames up to it and its text.

    Up to `MAX_LEAD_IN` frames, drawn from `rng`, precede the question.
    """
    turns: list[Turn] = []
    in_order = sorted(item.conversation, key=lambda turn: turn.time)
    first = clock.ceil(in_order[0].time)
    start = now = first - min(rng.randint(0, MAX_LEAD_IN), clock.frames(first)) / clock.fps
    for turn in in_order:
        time = clock.ceil(turn.time)
        positive = 0  # the assistant does not speak before a question
        if turn.timespan is not None and turn.role == "assistant":
            middle = clock.ceil(sum(turn.timespan) / 2)
            positive = clock.frames(clock.clip(turn.time) - middle) + 1
        turns += labelled_stream(clock.frames(time - now), positive, max_frames)
        turns.append(TextTurn(turn.role, turn.content, learn=turn.learn))
        now = time
    return Conversation(truncate(turns, max_frames), first_frame=clock.frames(start))


def _entries(content: Sequence[MagqaItem]) -> Iterator[Entry]:
    for index, item in enumerate(content):
        spans = [turn.timespan or (turn.time, turn.time) for turn in item.conversation]
        starts = {f"turn {i} start": start for i, (start, _) in enumerate(spans)}
        ends = {f"turn {i} end": max(item.conversation[i].time, end) for i, (_, end) in enumerate(spans)}
        yield Entry(item.video_uid, f"{index} ({place_of([item.video_uid])})", item, starts, ends)


def _conversation(
    annotation: MagqaItem, clock: Clock, *, rng: Random, templates: Sequence[str], max_frames: int
) -> Conversation:
    return magqa_conversation(annotation, clock, rng=rng, max_frames=max_frames)


def _texts(annotation: MagqaItem) -> list[AnnotatedText]:
    """An answer need not describe what is in view, so none has spans."""
    return [AnnotatedText(turn.content) for turn in annotation.conversation]


MAGQA = AnnotationKind(
    name="magqa",
    dataset_cls="MAGQAStreamDataset",
    schema=list[MagqaItem],
    entries=_entries,
    conversation=_conversation,
    texts=_texts,
)
