"""ScoreHysteresis: a threshold that does not respond twice to one rise of the score."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from mmduet.errors import DuetError
from mmduet.events import FrameScores
from mmduet.policy.rules import ScoreThreshold
from mmduet.policy.scores import BoolArray, ScoredFrames, decision_score, decision_scores


class ScoreHysteresis(ScoreThreshold):
    """Speaks when the decision score exceeds the threshold, once a rise or once in a refractory time.

    After a response there is no second one for `refractory` seconds, unless the score has fallen to ``threshold -
    drop`` or lower since then and exceeds the threshold again (hysteresis, as in a Schmitt trigger). With a refractory
    time of 0 it decides as `ScoreThreshold`.

    Args:
        threshold: As of `ScoreThreshold`.
        heads: As of `ScoreThreshold`.
        drop: How far below the threshold the score must fall, >= 0.
        refractory: s, >= 0; ``math.inf``: one response a rise.

    Raises:
        DuetError: The threshold is nan, a head is unknown or named twice, or an option is below 0 or nan.
    """

    rule: ClassVar[str] = "rise above the threshold"
    choices: ClassVar[Mapping[str, Sequence[float]]] = {"drop": (0.1,), "refractory": (5.0, 15.0)}

    def __init__(
        self, threshold: float, *, heads: Sequence[str] = ("informative",), drop: float = 0.1, refractory: float = 10.0
    ):
        super().__init__(threshold, heads=heads)
        self.drop, self.refractory = _not_below_0("drop", drop), _not_below_0("refractory", refractory)
        self._spoke_at, self._has_fallen = -math.inf, False

    def need(self, scores: FrameScores) -> bool:
        """Tell whether a response is due after this frame."""
        score = decision_score(scores, self.heads)
        self._has_fallen |= score <= self.threshold - self.drop
        if not score > self.threshold:
            return False
        if scores.time - self._spoke_at < self.refractory and not self._has_fallen:
            return False
        self._spoke_at, self._has_fallen = scores.time, False
        return True

    def reset(self) -> None:
        """Forget the last response."""
        self._spoke_at, self._has_fallen = -math.inf, False

    def with_threshold(self, threshold: float) -> Self:
        """Make a policy with this threshold and the same other settings, which has seen no frame."""
        return type(self)(threshold, heads=self.heads, **self.options)

    @property
    def options(self) -> dict[str, float]:
        """The settings besides threshold and heads."""
        return {"drop": self.drop, "refractory": self.refractory}

    def replay(self, traces: Sequence[ScoredFrames], thresholds: ArrayLike) -> list[BoolArray]:
        """Find the frames that speak at each threshold, bool [T, N] per trace."""
        limits = np.asarray(thresholds, dtype=float)
        each = [decision_scores(trace, self.heads) for trace in traces]
        longest, shape = max(map(len, each), default=0), (len(each), len(limits))
        scores, times = (np.full((longest, len(each), 1), np.nan) for _ in range(2))
        for index, (trace, curve) in enumerate(zip(traces, each, strict=True)):
            scores[: len(curve), index, 0], times[: len(curve), index, 0] = curve, trace.times
        speaks = np.empty((longest, *shape), dtype=bool)
        spoke_at, has_fallen = np.full(shape, -np.inf), np.zeros(shape, dtype=bool)
        for row, score, time in zip(speaks, scores, times, strict=True):
            has_fallen |= score <= limits - self.drop
            np.logical_and(score > limits, has_fallen | ~(time - spoke_at < self.refractory), out=row)
            has_fallen &= ~row
            np.copyto(spoke_at, time, where=row)
        return [speaks[: len(curve), index].T for index, curve in enumerate(each)]

    def __repr__(self) -> str:
        return f"ScoreHysteresis({self.threshold}, heads={self.heads}, drop={self.drop}, refractory={self.refractory})"


def _not_below_0(name: str, value: Any) -> float:
    if not value >= 0:
        raise DuetError(f"{name}={value}: must be a number of 0 or more.")
    return float(value)
