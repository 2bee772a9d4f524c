"""Policies of one's own, as users write them: with a threshold, and with need and reset alone."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmduet.policy import FloatArray, FrameScores, ScoredFrames


class Smoothed:
    """Compares the mean of the last three scores with its threshold. It has neither replay nor grid."""

    def __init__(self, threshold: float, *, heads: Sequence[str] = ("informative",)):
        self.threshold, self.heads, self.recent = threshold, heads, deque[float](maxlen=3)

    def mean(self, scores: FrameScores) -> float:
        self.recent.append(scores.informative)
        return sum(self.recent) / len(self.recent)

    def need(self, scores: FrameScores) -> bool:
        return self.mean(scores) > self.threshold

    def reset(self) -> None:
        self.recent.clear()

    def with_threshold(self, threshold: float) -> "Smoothed":
        return Smoothed(threshold, heads=self.heads)

    def decision_curve(self, trace: ScoredFrames) -> FloatArray:
        fresh = self.with_threshold(self.threshold)
        return np.array([fresh.mean(scores) for scores in trace.scores()])


class EveryThird:
    """Speaks after every third frame. It has no threshold."""

    frames = 0

    def need(self, scores: Any) -> bool:
        self.frames += 1
        return self.frames % 3 == 0

    def reset(self) -> None:
        self.frames = 0
