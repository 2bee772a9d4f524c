"""Replays: what a policy would have decided at other thresholds, without the model."""

import math
import reprlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from mmduet.errors import DuetError
from mmduet.policy.contract import class_name, curve_of, decided
from mmduet.policy.protocol import Policy, ThresholdPolicy, fresh_policy
from mmduet.policy.scores import BoolArray, FloatArray, ScoredFrames

CHECKED = 50  # traces on which a policy is compared with its replay


def replay_thresholds(
    policy: ThresholdPolicy, traces: Sequence[ScoredFrames], thresholds: ArrayLike
) -> list[BoolArray]:
    """Replay a policy at many thresholds, without the model.

    Returns:
        For each trace bool [T, N]: whether its frame n speaks at ``thresholds[t]``.

    Raises:
        DuetError: At its own threshold the policy decides otherwise than the replay, as with a setting that
            `with_threshold` forgets; or its `replay` returns something else.
    """
    _check_own(policy, traces)
    return _replayed(policy, traces, np.asarray(thresholds, dtype=float))


def _check_own(policy: ThresholdPolicy, traces: Sequence[ScoredFrames]) -> None:
    traces = traces[:CHECKED]
    alone, method = fresh_policy(policy), "replay" if hasattr(policy, "replay") else "with_threshold"
    for trace, replayed in zip(traces, _replayed(policy, traces, np.array([policy.threshold])), strict=True):
        differs = np.flatnonzero(replayed[0] != _speaks(alone, trace))
        if len(differs):
            raise DuetError(
                f"policy {class_name(policy)}: at its own threshold {policy.threshold:g}, {method} decides otherwise "
                f"than need at {trace.times[differs[0]]:g} s: keep every setting, and set in reset() all that changes, "
                "with the seed of random numbers."
            )


def _replayed(policy: ThresholdPolicy, traces: Sequence[ScoredFrames], thresholds: FloatArray) -> list[BoolArray]:
    own: Callable[..., list[BoolArray]] | None = getattr(policy, "replay", None)
    shapes = [(len(thresholds), len(trace)) for trace in traces]
    if own is not None:
        found = list(own(traces, thresholds))
        if [np.shape(each) for each in found] != shapes:
            raise DuetError(
                f"policy {class_name(policy)}: replay returned shapes {[np.shape(each) for each in found]}: return "
                f"bool [T, N] a trace, here {shapes}."
            )
        return found
    policies = [policy.with_threshold(float(threshold)) for threshold in thresholds]
    speaks = [np.array([_speaks(each, trace) for each in policies], dtype=bool) for trace in traces]
    return [each.reshape(shape) for each, shape in zip(speaks, shapes, strict=True)]


def _speaks(policy: Policy, trace: ScoredFrames) -> list[bool]:
    policy.reset()
    return [decided(policy, scores) for scores in trace.scores()]


def threshold_grid(policy: ThresholdPolicy, traces: Sequence[ScoredFrames]) -> list[float]:
    """Choose thresholds from always to never speaking, the policy's own among them; ascending.

    Raises:
        DuetError: Its `grid` returns no thresholds, or as `replay_thresholds`.
    """
    _check_own(policy, traces)
    own: Callable[..., list[float]] | None = getattr(policy, "grid", None)
    if own is None:
        return even_grid(policy, traces)
    found = np.asarray(grid := own(traces))
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "iuf" or np.isnan(found).any():
        raise DuetError(
            f"policy {class_name(policy)}: grid returned {reprlib.repr(grid)}: return a list of thresholds, ascending, "
            "with its own."
        )
    return with_own(found.tolist(), policy.threshold)


def fine_thresholds(policy: ThresholdPolicy, traces: Sequence[ScoredFrames], count: int = 200) -> FloatArray:
    """Choose thresholds between which a policy's decisions differ, to choose the best of them.

    They are dense where few frames exceed them. Of a policy that adds scores up, they have even ratios.

    Returns:
        Up to `count` of them, ascending, with at most 6 significant digits; nothing exceeds the last. float64 [T].
    """
    curves = [curve_of(policy.with_threshold(math.inf), trace) for trace in traces]
    values = np.unique(np.concatenate([np.zeros(0), *map(finite, curves)]))
    if getattr(policy, "accumulates", False):
        values = values[values > 0]
    if not len(values):
        return np.zeros(1)
    if getattr(policy, "accumulates", False):
        found = np.geomspace(values[0], values[-1], count)
    elif len(values) > count:
        above = np.geomspace(len(values), 1, count)  # so many different scores are above each
        found = np.interp(len(values) - above, np.arange(len(values)), values)
    else:
        found = np.concatenate([values[:1] - 1e-3, (values[:-1] + values[1:]) / 2, values[-1:]])
    return np.unique([*(float(f"{value:.6g}") for value in found[:-1]), *found[-1:]])


def finite(values: FloatArray) -> FloatArray:
    """Drop nan and infinite values."""
    return values[np.isfinite(values)]


def even_grid(policy: ThresholdPolicy, traces: Sequence[ScoredFrames], most: float = 1.0) -> list[float]:
    """Steps of 1, 2 or 5 times a power of ten that cover the decision curves, or 0 to `most` where they are flat."""
    curves = np.concatenate([np.zeros(0), *(finite(curve_of(policy, trace)) for trace in traces)])
    low, high = (curves.min(), curves.max()) if len(curves) else (0.0, 0.0)
    low, high = (0.0, most) if low == high else (low, high)
    rough = max((high - low) / 20, 1e-5)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return with_own((float(f"{index * step:.6g}") for index in range(first, last + 1)), policy.threshold)


def with_own(grid: Iterable[float], own: float) -> list[float]:
    """Return the grid with the policy's own threshold instead of one that is written alike."""
    return sorted({own, *(value for value in grid if f"{value:g}" != f"{own:g}")})
