"""Grounding: a query and the spans of a video that it describes, `[{video_uid, query, timestamps: [[s, e], ...]}]`.

Times are seconds into the video.
"""

import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from mmduet.data.annotations import Name, Span, Text
from mmduet.data.conversations import EPSILON, Clock, Conversation
from mmduet.data.kinds.kind import AnnotatedText, AnnotationKind, Entry
from mmduet.files import place_of
from mmduet.model.prompt import StreamTurn, TextTurn

GROUNDING_TEMPLATES = (
    "{query}",
    "Show me when this is in view: {query}",
    "Which part of the video shows {query}?",
    "Find the moments with {query}.",
    "When can one see {query}?",
    "Mark the frames that show {query}.",
    "Look out for this: {query}",
    "I am only interested in '{query}'.",
    "Tell apart the frames with '{query}' from the rest.",
    "During which stretches does '{query}' hold?",
    "Keep an eye open for '{query}'.",
    "From when to when: {query}?",
    "Is '{query}' on screen?",
    "Pick out every passage about '{query}'.",
)


class GroundingItem(BaseModel):
    """A query and the spans of one video that it describes."""

    video_uid: Name
    query: Text
    timestamps: list[Span] = Field(min_length=1)


def grounding_conversation(item: GroundingItem, clock: Clock, *, template: str, max_frames: int) -> Conversation:
    """The query, then the whole video, its frames labelled relevant inside the spans."""
    count, spans = frame_spans(item.timestamps, clock, max_frames)
    relevance = [0] * count
    for first, last in spans:
        relevance[first:last] = [1] * (last - first)
    query = TextTurn("user", template.replace("{query}", item.query))
    return Conversation((query, StreamTurn(count, relevance=tuple(relevance))))


def frame_spans(
    spans: Sequence[tuple[float, float]], clock: Clock, max_frames: int
) -> tuple[int, list[tuple[int, int]]]:
    """Return the frames of a conversation, and the first frame and the frame after the last one of each span.

    Times are rounded down to frames, as published. Spans without a frame are left out.
    """
    count = min(math.floor(clock.duration * clock.fps + EPSILON), max_frames)
    frames = [tuple(math.floor(clock.clip(time) * clock.fps + EPSILON) for time in span) for span in spans]
    return count, [(first, min(last, count)) for first, last in frames if first < min(last, count)]


def query_entries(content: Sequence[Any]) -> Iterator[Entry]:
    """List the annotations of a file of queries with their spans: items with video_uid, query and timestamps."""
    for index, item in enumerate(content):
        starts = {f"timestamps[{i}] start": start for i, (start, _) in enumerate(item.timestamps)}
        ends = {f"timestamps[{i}] end": end for i, (_, end) in enumerate(item.timestamps)}
        yield Entry(item.video_uid, f"{index} ({place_of([item.video_uid])})", item, starts, ends)


def _conversation(
    annotation: GroundingItem, clock: Clock, *, rng: Random, templates: Sequence[str], max_frames: int
) -> Conversation:
    return grounding_conversation(annotation, clock, template=rng.choice(templates), max_frames=max_frames)


def query_texts(annotation: Any) -> list[AnnotatedText]:
    """List the query of such an item with its spans."""
    return [AnnotatedText(annotation.query, tuple(annotation.timestamps))]


def with_query(text: str) -> str:
    """Return a template that holds {query} once. Raises ValueError for another."""
    if text.count("{query}") != 1:
        raise ValueError("a template needs {query} once, where the query is inserted")
    return text


GROUNDING = AnnotationKind(
    name="grounding",
    dataset_cls="GroundingStreamDataset",
    schema=list[GroundingItem],
    entries=query_entries,
    conversation=_conversation,
    texts=query_texts,
    templates=GROUNDING_TEMPLATES,
    template=Annotated[Text, AfterValidator(with_query)],
)
