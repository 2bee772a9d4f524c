"""Annotations -> training conversations: turns with a label for each frame.

The arithmetic is the published one (MMDuet, arXiv 2411.17991): with frame rate f,
ceil_f(t) = ceil(t * f) / f, and every time is clipped to the video's duration first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from mmduet.data.annotations import GroundingItem, MagqaItem, Narration
from mmduet.model.prompt import StreamTurn, TextTurn, Turn

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
MAX_LEAD_IN = 20  # frames before a first question, at most
EPSILON = 1e-6  # frames: less than this is rounding noise


@dataclass(frozen=True, slots=True)
class Conversation:
    """A training conversation over frames first_frame, first_frame + 1, … of one video's sample."""

    turns: tuple[Turn, ...]
    first_frame: int = 0

    @property
    def frames(self) -> int:
        """Frames the conversation covers."""
        return sum(turn.frames for turn in self.turns if isinstance(turn, StreamTurn))


@dataclass(frozen=True, slots=True)
class Clock:
    """A video's frame grid. fps: frames a second. duration: s."""

    fps: float
    duration: float

    def clip(self, time: float) -> float:
        """The time, within the video."""
        return min(max(time, 0.0), self.duration)

    def ceil(self, time: float) -> float:
        """The first frame time at or after `time`, within the video."""
        return self.clip(math.ceil(time * self.fps - EPSILON) / self.fps)

    def frames(self, seconds: float) -> int:
        """Whole frames in a span, towards zero (rounding noise is not a frame)."""
        return int(seconds * self.fps + math.copysign(EPSILON, seconds))


def narration_conversation(
    narrations: Sequence[Narration], clock: Clock, *, instruction: str, max_frames: int
) -> Conversation:
    """An instruction, then for each narration the frames up to it and its text.

    A narration with the same text as the one before is skipped; one at the same frame time replaces it.
    """
    turns: list[Turn] = [TextTurn("user", instruction)]
    now, said = 0.0, None
    for narration in sorted(narrations, key=lambda item: item.time):
        time = clock.ceil(narration.time)
        if narration.text == said:
            continue
        if time == now and said is not None:
            turns.pop()
        frames = clock.frames(time - now)
        middle = clock.ceil(sum(narration.timespan) / 2)
        turns += _labelled_stream(frames, clock.frames(time - middle) + 1, max_frames)
        turns.append(TextTurn("assistant", narration.text, learn=narration.learn))
        now, said = time, narration.text
    return Conversation(truncate(turns, max_frames))


def magqa_conversation(item: MagqaItem, clock: Clock, *, rng: Random, max_frames: int) -> Conversation:
    """A few frames, the question, then for each answer the frames up to it and its text."""
    turns: list[Turn] = []
    in_order = sorted(item.conversation, key=lambda turn: turn.time)
    first = clock.ceil(in_order[0].time)
    # 0 to 20 frames before the question, as far as there are
    start = now = first - min(rng.randint(0, MAX_LEAD_IN), clock.frames(first)) / clock.fps
    for turn in in_order:
        time = clock.ceil(turn.time)
        frames = clock.frames(time - now)
        positive = 0  # before a question the next speaker isn't the assistant
        if turn.timespan is not None and turn.role == "assistant":
            middle = clock.ceil(sum(turn.timespan) / 2)
            positive = clock.frames(clock.clip(turn.time) - middle) + 1
        turns += _labelled_stream(frames, positive, max_frames)
        turns.append(TextTurn(turn.role, turn.content, learn=turn.learn))
        now = time
    return Conversation(truncate(turns, max_frames), first_frame=clock.frames(start))


def grounding_conversation(item: GroundingItem, clock: Clock, *, template: str, max_frames: int) -> Conversation:
    """The query, then the whole video, its frames labelled relevant inside the spans."""
    count = min(math.floor(clock.duration * clock.fps + EPSILON), max_frames)
    relevance = [0] * count
    for start, end in item.timestamps:
        first = math.floor(clock.clip(start) * clock.fps + EPSILON)
        last = min(math.floor(clock.clip(end) * clock.fps + EPSILON), count)
        relevance[first:last] = [1] * (last - first)
    query = TextTurn("user", template.replace("{query}", item.query))
    return Conversation((query, StreamTurn(count, relevance=tuple(relevance))))


def _labelled_stream(frames: int, positive: int, max_frames: int) -> list[StreamTurn]:
    """A stream turn labelled informative on its last `positive` frames; none for no frames.

    It ends after `max_frames` + 1: `truncate` drops these anyway, and a video's duration may be given as days.
    """
    silent = frames - max(0, min(positive, frames))
    kept = min(frames, max_frames + 1)
    silent = min(silent, kept)
    return [StreamTurn(kept, informative=(0,) * silent + (1,) * (kept - silent))] if frames else []


def truncate(turns: Sequence[Turn], max_frames: int) -> tuple[Turn, ...]:
    """Cut at `max_frames`: the stream turn that crosses it is shortened, all after it dropped."""
    kept: list[Turn] = []
    left = max_frames
    for turn in turns:
        if isinstance(turn, StreamTurn):
            if turn.frames > left:
                return (*kept, _shorten(turn, left)) if left else tuple(kept)
            left -= turn.frames
        kept.append(turn)
    return tuple(kept)


def _shorten(turn: StreamTurn, frames: int) -> StreamTurn:
    def cut(labels):
        return None if labels is None else labels[:frames]

    return replace(turn, frames=frames, informative=cut(turn.informative), relevance=cut(turn.relevance))
