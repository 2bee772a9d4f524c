"""Narration: captions along a video, `{video: {annotation id: [{text, time, timespan: [s, e]}]}}`.

Times are seconds into the video.
"""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Annotated

from pydantic import BaseModel, Field

from mmduet.data.annotations import Flag, Name, Seconds, Span, Text
from mmduet.data.conversations import Clock, Conversation, labelled_stream, truncate
from mmduet.data.kinds.kind import AnnotatedText, AnnotationKind, Entry
from mmduet.files import place_of
from mmduet.model.prompt import TextTurn, Turn

NARRATION_INSTRUCTIONS = (
    "Please concisely narrate the video in real time.",
    "Tell me what you see as the video goes on.",
    "Say what comes into view, whenever something new does.",
    "Describe each new scene in a sentence when it appears.",
    "Keep me posted on what the video shows.",
    "Give a short running commentary.",
    "Whenever the picture changes, tell me briefly to what.",
    "I cannot look at the screen: speak up when there is something to know.",
    "Watch along and put what happens into a few words.",
    "Call out each event as soon as it is clear.",
    "Comment on this live, one short sentence at a time.",
    "What is going on? Keep your answers brief and current.",
)


class Narration(BaseModel):
    """One caption.

    Attributes:
        text: The words.
        time: When they are spoken.
        timespan: Start and end of what they describe.
        learn: Whether they are a training target.
    """

    text: Text
    time: Seconds
    timespan: Span
    learn: Flag = True


NarrationFile = dict[Name, dict[Text, Annotated[list[Narration], Field(min_length=1)]]]


def narration_conversation(
    narrations: Sequence[Narration], clock: Clock, *, instruction: str, max_frames: int
) -> Conversation:
    """An instruction, then for each narration the frames up to it and its text.

    A narration with the same text as the previous one is skipped. One at the same frame time replaces it.
    """
    turns: list[Turn] = [TextTurn("user", instruction)]
    now, previous = 0.0, None
    for narration in sorted(narrations, key=lambda item: item.time):
        time = clock.ceil(narration.time)
        if narration.text == previous:
            continue
        if time == now and previous is not None:
            turns.pop()
        middle = clock.ceil(sum(narration.timespan) / 2)
        turns += labelled_stream(clock.frames(time - now), clock.frames(time - middle) + 1, max_frames)
        turns.append(TextTurn("assistant", narration.text, learn=narration.learn))
        now, previous = time, narration.text
    return Conversation(truncate(turns, max_frames))


def _entries(content: Mapping[str, Mapping[str, Sequence[Narration]]]) -> Iterator[Entry]:
    for video, by_id in content.items():
        for key, narrations in by_id.items():
            starts = {f"narration {i} start": item.timespan[0] for i, item in enumerate(narrations)}
            ends = {f"narration {i} end": max(item.time, item.timespan[1]) for i, item in enumerate(narrations)}
            yield Entry(video, place_of([f"{video}/{key}"]), narrations, starts, ends)


def _conversation(
    annotation: Sequence[Narration], clock: Clock, *, rng: Random, templates: Sequence[str], max_frames: int
) -> Conversation:
    return narration_conversation(annotation, clock, instruction=rng.choice(templates), max_frames=max_frames)


def _texts(annotation: Sequence[Narration]) -> list[AnnotatedText]:
    return [AnnotatedText(narration.text, (narration.timespan,)) for narration in annotation]


NARRATION = AnnotationKind(
    name="narration",
    dataset_cls="DenseVideoCaptioningStreamDataset",
    schema=NarrationFile,
    entries=_entries,
    conversation=_conversation,
    texts=_texts,
    templates=NARRATION_INSTRUCTIONS,
)
