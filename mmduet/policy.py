"""When to speak: a policy looks at one frame's scores and says whether a response is due.

A policy is any object with ``need(scores) -> bool``, called once a frame in order, and ``reset()``,
called before a new video. It knows nothing of the model: the same policy drives a live session and
replays a finished trace.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mmduet.errors import DuetError

HEADS = ("informative", "relevance")


@dataclass(frozen=True, slots=True)
class FrameScores:
    """Both heads' verdict on one frame.

    time: the frame's time, s. informative, relevance: probabilities in [0, 1].
    """

    time: float
    informative: float
    relevance: float


class Policy(Protocol):
    """When to speak."""

    def need(self, scores: FrameScores) -> bool:
        """Whether a response is due after this frame."""
        ...

    def reset(self) -> None:
        """Forget everything about the video seen so far."""
        ...


def _checked(threshold: float, heads: Sequence[str]) -> tuple[str, ...]:
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    unknown = [head for head in heads if head not in HEADS]
    if unknown or not heads or len(set(heads)) != len(heads):
        raise DuetError(f"heads={heads!r}: name one or both of {HEADS}, each once.")
    if math.isnan(threshold):
        raise DuetError("threshold=nan: a threshold is a number; use math.inf to never speak.")
    return heads


def need_score(scores: FrameScores, heads: Sequence[str]) -> float:
    """The sum of the chosen heads' scores, in [0, len(heads)]."""
    return sum(getattr(scores, head) for head in heads)


class ScoreThreshold:
    """Speak on every frame whose need-score exceeds ``threshold``.

    threshold: against the sum of the chosen heads, so in [0, len(heads)]; ``math.inf`` never speaks.
    """

    def __init__(self, threshold: float, *, heads: Sequence[str] = ("informative",)):
        self.heads = _checked(threshold, heads)
        self.threshold = threshold

    def need(self, scores: FrameScores) -> bool:
        return need_score(scores, self.heads) > self.threshold

    def reset(self) -> None:
        pass

    def __repr__(self) -> str:
        return f"ScoreThreshold({self.threshold}, heads={self.heads})"


class ScoreSum:
    """Speak when the need-scores since the last response add up to more than ``threshold``.

    The sum restarts at 0 with each response.
    """

    def __init__(self, threshold: float, *, heads: Sequence[str] = ("informative",)):
        self.heads = _checked(threshold, heads)
        self.threshold = threshold
        self.total = 0.0

    def need(self, scores: FrameScores) -> bool:
        self.total += need_score(scores, self.heads)
        if self.total <= self.threshold:
            return False
        self.total = 0.0
        return True

    def reset(self) -> None:
        self.total = 0.0

    def __repr__(self) -> str:
        return f"ScoreSum({self.threshold}, heads={self.heads})"


POLICIES: dict[str, type[ScoreThreshold] | type[ScoreSum]] = {"threshold": ScoreThreshold, "sum": ScoreSum}


def make_policy(mode: str, threshold: float, *, heads: Sequence[str] = ("informative",)) -> ScoreThreshold | ScoreSum:
    """A policy by name: ``threshold`` or ``sum``. Raises DuetError for another name."""
    if mode not in POLICIES:
        raise DuetError(f"mode={mode!r} is not known; known are {sorted(POLICIES)}.")
    return POLICIES[mode](threshold, heads=heads)
