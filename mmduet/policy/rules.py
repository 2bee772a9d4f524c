"""The built-in policies."""

import math
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from mmduet.errors import DuetError
from mmduet.events import FrameScores
from mmduet.policy.protocol import checked_threshold
from mmduet.policy.replay import even_grid, finite, with_own
from mmduet.policy.scores import (
    BoolArray,
    FloatArray,
    ScoredFrames,
    checked_heads,
    decision_score,
    decision_scores,
)


class ScoreThreshold:
    """Speaks after every frame whose decision score exceeds the threshold.

    Args:
        threshold: Compared with the sum of the chosen heads' scores, which is in [0, len(heads)]. ``math.inf`` never
            speaks.
        heads: One or both of ``informative`` and ``relevance``; a model that decides in words has one score, which is
            used whatever they are.

    Raises:
        DuetError: The threshold is nan, or a head is unknown or named twice.
    """

    rule: ClassVar[str] = "are above the threshold"

    def __init__(self, threshold: float, *, heads: Sequence[str] = ("informative",)):
        self.heads = checked_heads(heads)
        self.threshold = checked_threshold(threshold)

    def need(self, scores: FrameScores) -> bool:
        """Tell whether a response is due after this frame."""
        return decision_score(scores, self.heads) > self.threshold

    def reset(self) -> None:
        """Do nothing: every frame is judged alone."""

    def with_threshold(self, threshold: float) -> Self:
        """Make a policy with this threshold and the same heads."""
        return type(self)(threshold, heads=self.heads)

    def decision_curve(self, trace: ScoredFrames) -> FloatArray:
        """Compute the decision score of each frame, float64 [N]."""
        return decision_scores(trace, self.heads)

    def replay(self, traces: Sequence[ScoredFrames], thresholds: ArrayLike) -> list[BoolArray]:
        """Find the frames that speak at each threshold, bool [T, N] per trace."""
        limits = np.asarray(thresholds, dtype=float)
        return [self.decision_curve(trace) > limits[:, None] for trace in traces]

    def grid(self, traces: Sequence[ScoredFrames]) -> list[float]:
        """Choose about 20 round thresholds from always to never speaking, and its own; ascending."""
        return even_grid(self, traces, most=len(self.heads))

    def __repr__(self) -> str:
        return f"ScoreThreshold({self.threshold}, heads={self.heads})"


class ScoreSum:
    """Speaks when the decision scores since the last response add up to more than the threshold.

    The sum restarts at 0 with each response.

    Args:
        threshold: Compared with the running sum; ``math.inf`` never speaks.
        heads: One or both of ``informative`` and ``relevance``, added up.

    Raises:
        DuetError: The threshold is nan, or a head is unknown or named twice.
    """

    rule: ClassVar[str] = "add up to the threshold"
    accumulates: ClassVar[bool] = True

    def __init__(self, threshold: float, *, heads: Sequence[str] = ("informative",)):
        self.heads = checked_heads(heads)
        self.threshold = checked_threshold(threshold)
        self.total = 0.0

    def need(self, scores: FrameScores) -> bool:
        """Tell whether a response is due after this frame."""
        self.total += decision_score(scores, self.heads)
        if self.total <= self.threshold:
            return False
        self.total = 0.0
        return True

    def reset(self) -> None:
        """Set the sum to 0."""
        self.total = 0.0

    def with_threshold(self, threshold: float) -> Self:
        """Make a policy with this threshold and the same heads, whose sum is 0."""
        return type(self)(threshold, heads=self.heads)

    def decision_curve(self, trace: ScoredFrames) -> FloatArray:
        """Compute the running sum at each frame, before a response resets it; float64 [N]."""
        total, curve = 0.0, []
        for score in decision_scores(trace, self.heads).tolist():
            total += score
            curve.append(total)
            total = total if total <= self.threshold else 0.0
        return np.array(curve, dtype=float)

    def replay(self, traces: Sequence[ScoredFrames], thresholds: ArrayLike) -> list[BoolArray]:
        """Find the frames that speak at each threshold, bool [T, N] per trace."""
        limits = np.asarray(thresholds, dtype=float)
        each = [decision_scores(trace, self.heads) for trace in traces]
        frames = np.zeros((max(map(len, each), default=0), len(each), 1))
        for index, scores in enumerate(each):
            frames[: len(scores), index, 0] = scores
        speaks = np.empty((len(frames), len(each), len(limits)), dtype=bool)
        totals = np.zeros(speaks.shape[1:])
        for row, scores in zip(speaks, frames, strict=True):
            totals += scores
            row[:] = ~(totals <= limits)  # as in `need`: a sum that is nan speaks
            totals[row] = 0.0
        return [speaks[: len(scores), index].T for index, scores in enumerate(each)]

    def grid(self, traces: Sequence[ScoredFrames]) -> list[float]:
        """Choose up to 21 thresholds with even ratios from always to never speaking, and its own; ascending."""
        each = [finite(decision_scores(trace, self.heads)) for trace in traces]
        scores = np.concatenate([np.zeros(0), *each])
        if not scores.sum() > 0:
            return with_own([0.0, 1.0], self.threshold)
        most = max(scores.sum() for scores in each) * 1.05
        return with_own((float(f"{value:.2g}") for value in np.geomspace(scores.mean(), most, 21)), self.threshold)

    def __repr__(self) -> str:
        return f"ScoreSum({self.threshold}, heads={self.heads})"


class Greedy:
    """Speaks where greedy decoding gives a reply: the published rule of models that decide in words (MMDuet2).

    Args:
        threshold: Refused where it is given, since nothing is compared with it.
        heads: Not used.

    Raises:
        DuetError: A threshold is given.
    """

    def __init__(self, threshold: float = math.inf, *, heads: Sequence[str] = ()):
        if threshold != math.inf:
            raise DuetError(f"threshold={threshold}: mode 'greedy' has none: leave it out, or use mode 'threshold'.")

    def need(self, scores: FrameScores) -> bool:
        """Tell whether a reply is due. Raises DuetError for scores of a model with heads."""
        if scores.greedy is None:
            raise DuetError(
                "policy Greedy: the scores do not say what greedy decoding gives, as those of a model with heads: use "
                "ScoreThreshold or ScoreSum."
            )
        return scores.greedy

    def reset(self) -> None:
        """Do nothing: every piece is judged alone."""

    def __repr__(self) -> str:
        return "Greedy()"
