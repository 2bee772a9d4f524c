"""Replay: what other thresholds would have picked of finished traces, many thresholds and traces at once."""

import math
from collections.abc import Sequence

import numpy as np

from mmduet.policy import ScoreSum, ScoreThreshold
from mmduet.trace import DuetTrace


def with_threshold(policy: ScoreThreshold | ScoreSum, threshold: float) -> ScoreThreshold | ScoreSum:
    """A fresh policy like the given one, which may be in use: it keeps its sum."""
    return type(policy)(threshold, heads=policy.heads)


def need_scores(trace: DuetTrace, heads: Sequence[str]) -> np.ndarray:
    """The sum of the chosen heads' scores at each frame, float64 [N]."""
    return np.sum([getattr(trace, head) for head in heads], axis=0, dtype=float)


def replay_thresholds(
    traces: Sequence[DuetTrace], policy: ScoreThreshold | ScoreSum, thresholds: Sequence[float] | np.ndarray
) -> list[np.ndarray]:
    """After which frames each trace would have been spoken at each threshold: bool [T, N] a trace.

    Row t is what `DuetTrace.replay` picks with the policy at thresholds[t].
    """
    limits = np.asarray(thresholds, dtype=float)
    needs = [need_scores(trace, policy.heads) for trace in traces]
    if isinstance(policy, ScoreThreshold):
        return [need > limits[:, None] for need in needs]
    frames = np.zeros((max(map(len, needs), default=0), len(needs), 1))
    for index, need in enumerate(needs):
        frames[: len(need), index, 0] = need
    spoken = np.empty((len(frames), len(needs), len(limits)), dtype=bool)
    totals = np.zeros(spoken.shape[1:])
    for row, need in zip(spoken, frames, strict=True):
        totals += need
        row[:] = ~(totals <= limits)  # written as in ScoreSum: a sum that is not a number speaks
        totals[row] = 0.0
    return [spoken[: len(need), index].T for index, need in enumerate(needs)]


def threshold_grid(traces: Sequence[DuetTrace], policy: ScoreThreshold | ScoreSum) -> list[float]:
    """About 20 round thresholds from always to never speaking, and the policy's own; ascending."""
    each = [needs[np.isfinite(needs)] for needs in (need_scores(trace, policy.heads) for trace in traces)]
    needs = np.concatenate([np.zeros(0), *each])
    if isinstance(policy, ScoreSum):
        grid = _sum_grid(needs, max((scores.sum() for scores in each), default=0.0))
    else:
        flat = not len(needs) or needs.min() == needs.max()
        grid = _round_grid(*((0.0, len(policy.heads)) if flat else (needs.min(), needs.max())))
    others = [value for value in grid if f"{value:g}" != f"{policy.threshold:g}"]
    return sorted([*others, policy.threshold])


def _round_grid(low: float, high: float) -> list[float]:
    """Steps of 1, 2 or 5 times a power of ten that cover low to high, 20 or a little more."""
    rough = max((high - low) / 20, 1e-5)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.6g}") for index in range(first, last + 1)]


def _sum_grid(needs: np.ndarray, most: float) -> list[float]:
    """Evenly spaced ratios, two digits each, from one frame's usual need-score to the most that a trace adds up to."""
    if not needs.sum() > 0:
        return [0.0, 1.0]
    return sorted({float(f"{value:.2g}") for value in np.geomspace(needs.mean(), most * 1.05, 21)})
