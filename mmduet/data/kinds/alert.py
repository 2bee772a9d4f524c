"""Alert: something to wait for, and when it is in view, `[{video_uid, query, timestamps: [[s, e], ...], reply}]`.

Times are seconds into the video. `timestamps` may be empty: what was asked for never comes. Both heads are labelled, so
that the sum of their scores says whether it is time to speak (`PRESETS["alert"]` of `mmduet.policy`).
"""

from collections.abc import Sequence
from random import Random
from typing import Annotated

from pydantic import AfterValidator, BaseModel

from mmduet.data.annotations import Name, Span, Text
from mmduet.data.conversations import Clock, Conversation
from mmduet.data.kinds.grounding import frame_spans, query_entries, query_texts, with_query
from mmduet.data.kinds.kind import AnnotationKind
from mmduet.model.prompt import StreamTurn, TextTurn, Turn

DUE = slice(1, 3)  # the frames of a span at which it is time to speak: the second and the third
ALERT_TEMPLATES = (
    "Tell me when there is {query}.",
    "Tell me when you see {query}.",
    "Let me know as soon as {query} comes into view.",
    "Alert me if {query} appears.",
    "Speak up once you see {query}.",
    "Say nothing until there is {query}.",
    "I am waiting for {query}: tell me when it is there.",
    "Warn me when {query} shows up.",
    "Call me if you can see {query}.",
    "Only speak when {query} is in view.",
)


class AlertItem(BaseModel):
    """What to wait for, the spans of one video in which it is in view, and what is said then."""

    video_uid: Name
    query: Text
    timestamps: list[Span]
    reply: Text


def alert_conversation(item: AlertItem, clock: Clock, *, template: str, max_frames: int) -> Conversation:
    """The query, then the whole video: relevant in the spans, informative at DUE of each, and the reply after that."""
    count, spans = frame_spans(item.timestamps, clock, max_frames)
    relevance, informative, replies = [0] * count, [0] * count, []
    for first, last in spans:
        relevance[first:last] = [1] * (last - first)
        due = range(first, last)[DUE] or range(first, last)[-1:]
        for frame in due:
            informative[frame] = 1
        replies += [frame + 1 for frame in due[-1:]]
    turns: list[Turn] = [TextTurn("user", template.replace("{query}", item.query))]
    now = 0
    for end in sorted({*replies, count}):
        if end > now:
            labels = tuple(informative[now:end]), tuple(relevance[now:end])
            turns.append(StreamTurn(end - now, informative=labels[0], relevance=labels[1]))
        if end in replies:
            turns.append(TextTurn("assistant", item.reply))
        now = end
    return Conversation(tuple(turns))


def _conversation(
    annotation: AlertItem, clock: Clock, *, rng: Random, templates: Sequence[str], max_frames: int
) -> Conversation:
    return alert_conversation(annotation, clock, template=rng.choice(templates), max_frames=max_frames)


ALERT = AnnotationKind(
    name="alert",
    dataset_cls="AlertStreamDataset",
    schema=list[AlertItem],
    entries=query_entries,
    conversation=_conversation,
    texts=query_texts,
    templates=ALERT_TEMPLATES,
    template=Annotated[Text, AfterValidator(with_query)],
)
