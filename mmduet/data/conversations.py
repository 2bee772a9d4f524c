"""Training conversations: turns with a label for each frame, and the arithmetic of their times.

The arithmetic is the published one (MMDuet, arXiv 2411.17991): with frame rate f, ceil_f(t) = ceil(t * f) / f, and
every time is clipped to the video's duration first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmduet.model.prompt import StreamTurn, Turn

EPSILON = 1e-6  # frames: a smaller difference is a rounding error


@dataclass(frozen=True, slots=True)
class Conversation:
    """A training conversation over frames first_frame, first_frame + 1, … of a video sampled at a frame rate."""

    turns: tuple[Turn, ...]
    first_frame: int = 0

    @property
    def frames(self) -> int:
        """The number of frames."""
        return sum(turn.frames for turn in self.turns if isinstance(turn, StreamTurn))


@dataclass(frozen=True, slots=True)
class Clock:
    """The times of a video's frames.

    Attributes:
        fps: Frames per second.
        duration: The video's duration, in seconds.
    """

    fps: float
    duration: float

    def clip(self, time: float) -> float:
        """The time, clipped to the video."""
        return min(max(time, 0.0), self.duration)

    def ceil(self, time: float) -> float:
        """The time of the first frame at or after `time`, clipped to the video."""
        return self.clip(math.ceil(time * self.fps - EPSILON) / self.fps)

    def frames(self, seconds: float) -> int:
        """Complete frames in a span, rounded towards zero after rounding errors are removed."""
        return int(seconds * self.fps + math.copysign(EPSILON, seconds))


def labelled_stream(frames: int, positive: int, max_frames: int) -> list[StreamTurn]:
    """A stream turn whose last `positive` frames are labelled informative; an empty list for no frames.

    It has at most `max_frames` + 1 frames: `truncate` removes later ones anyway, and a damaged file may state a
    duration of days.

    Raises:
        DuetError: There are fewer than 0 frames: the stretch ends before it begins.
    """
    silent = frames - max(0, min(positive, frames))
    kept = min(frames, max_frames + 1)
    silent = min(silent, kept)
    return [StreamTurn(kept, informative=(0,) * silent + (1,) * (kept - silent))] if frames else []


def truncate(turns: Sequence[Turn], max_frames: int) -> tuple[Turn, ...]:
    """Cut turns at `max_frames`: the stream turn that crosses it is shortened, all later turns are removed."""
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
    def cut(labels: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return None if labels is None else labels[:frames]

    return replace(turn, frames=frames, informative=cut(turn.informative), relevance=cut(turn.relevance))
