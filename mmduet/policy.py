"""Policies: when a duet speaks.

A policy is any object with ``need(scores) -> bool``, called once per frame in order, and ``reset()``, called before a
new video. It does not know the model: the same policy drives a live session and replays a finished trace. A policy
may also have a threshold, which plots and widgets then move: see `ThresholdPolicy`.
"""

import copy
import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, TypeGuard, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmduet.errors import DuetError
from mmduet.system.objects import find_object

HEADS = ("informative", "relevance")

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FrameScores:
    """Both heads' scores of one frame.

    Attributes:
        time: The frame's time, s.
        informative: Probability in [0, 1].
        relevance: Probability in [0, 1].
    """

    time: float
    informative: float
    relevance: float


class ScoredFrames(Protocol):
    """The part of a `DuetTrace` that policies read: N frames with times and scores, float64 [N] each."""

    times: FloatArray
    informative: FloatArray
    relevance: FloatArray

    def __len__(self) -> int:
        """Number of frames."""

    def scores(self) -> Iterable[FrameScores]:
        """The frames' scores in order."""


class Policy(Protocol):
    """Decides after each frame whether the model speaks."""

    def need(self, scores: FrameScores) -> bool:
        """Tell whether a response is due after this frame."""

    def reset(self) -> None:
        """Forget everything about the current video."""


class ThresholdPolicy(Policy, Protocol):
    """A policy that compares one number per frame with a threshold.

    Optional members, each with a default:

    * ``replay(traces, thresholds)``: bool [T, N] per trace, the frames that speak at each threshold.
      Default: frame by frame.
    * ``grid(traces)``: round thresholds from always to never speaking, ascending, its own among them.
      Default: about 20 even steps over the decision curves.
    * ``accumulates``: True where the decision curve adds up over frames, so that it is no score: figures then draw it
      in a panel of its own. Default: False.
    * ``heads``: the heads whose scores it uses; figures emphasise them. Default: none.

    Attributes:
        threshold: A live session may assign it between two frames.
    """

    threshold: float

    def with_threshold(self, threshold: float) -> Self:
        """Make a policy with this threshold and the same other settings, which has seen no frame."""

    def decision_curve(self, trace: ScoredFrames) -> FloatArray:
        """Compute the number that is compared with the threshold at each frame, float64 [N]."""


class ScoreThreshold:
    """Speaks after every frame whose decision score exceeds the threshold.

    Args:
        threshold: Compared with the sum of the chosen heads' scores, which is in [0, len(heads)]. ``math.inf`` never
            speaks.
        heads: One or both of ``informative`` and ``relevance``.

    Raises:
        DuetError: The threshold is nan, or a head is unknown or named twice.
    """

    rule: ClassVar[str] = "are above the threshold"

    def __init__(self, threshold: float, *, heads: Sequence[str] = ("informative",)):
        self.heads = _checked_heads(heads)
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
        return _even_grid(self, traces, most=len(self.heads))

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
        self.heads = _checked_heads(heads)
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
        policy, curve = self.with_threshold(self.threshold), []
        for scores in trace.scores():
            curve.append(policy.total + decision_score(scores, policy.heads))
            policy.need(scores)
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
        each = [_finite(decision_scores(trace, self.heads)) for trace in traces]
        scores = np.concatenate([np.zeros(0), *each])
        if not scores.sum() > 0:
            return _with_own([0.0, 1.0], self.threshold)
        most = max(scores.sum() for scores in each) * 1.05
        return _with_own((float(f"{value:.2g}") for value in np.geomspace(scores.mean(), most, 21)), self.threshold)

    def __repr__(self) -> str:
        return f"ScoreSum({self.threshold}, heads={self.heads})"


POLICIES: dict[str, Callable[..., ThresholdPolicy]] = {"threshold": ScoreThreshold, "sum": ScoreSum}


def make_policy(mode: str, threshold: float, *, heads: Sequence[str] = ("informative",)) -> Policy:
    """Make a policy by name.

    Args:
        mode: ``threshold``, ``sum``, or ``module:OBJECT`` for a class of your own, which is called as
            ``OBJECT(threshold, heads=heads)``.
        threshold: As of the policy.
        heads: As of the policy.

    Raises:
        DuetError: The mode is unknown, or its object cannot be called so or makes no policy.
    """
    kind = find_object(mode, POLICIES, cast(Any, Callable), argument="mode")
    try:
        inspect.signature(kind).bind(threshold, heads=heads)
    except (TypeError, ValueError) as error:
        raise DuetError(f"mode={mode!r} must take (threshold, heads=…): {error}.") from error
    return checked_policy(kind(threshold, heads=heads))


def policy_mode(policy: Policy) -> str:
    """The name under which `make_policy` knows a policy's class."""
    kind = type(policy)
    known = [mode for mode, built_in in POLICIES.items() if built_in is kind]
    return known[0] if known else f"{kind.__module__}:{kind.__qualname__}"


def checked_policy(policy: Any) -> Policy:
    """Return the policy. Raises DuetError for an object that is none."""
    if isinstance(policy, type) or not all(callable(getattr(policy, name, None)) for name in ("need", "reset")):
        raise DuetError(f"policy={policy!r} is not a policy: give an object with need(scores) and reset().")
    return cast(Policy, policy)


def fresh_policy(policy: Policy) -> Policy:
    """Copy a policy, which may be in use; the copy has seen no frame."""
    fresh = copy.deepcopy(checked_policy(policy))
    fresh.reset()
    return fresh


# thresholds


def has_threshold(policy: Policy) -> TypeGuard[ThresholdPolicy]:
    """Tell whether a policy has all that moving its threshold needs."""
    return all(hasattr(policy, name) for name in ("threshold", "with_threshold", "decision_curve"))


def threshold_policy(policy: Policy, purpose: str) -> ThresholdPolicy:
    """Return the policy, for a purpose that needs a threshold. Raises DuetError for a policy without one."""
    policy = checked_policy(policy)
    if has_threshold(policy):
        return policy
    raise DuetError(
        f"policy={policy!r} has no threshold, which {purpose} needs: "
        "give it threshold, with_threshold(threshold) and decision_curve(trace)."
    )


def checked_threshold(threshold: float) -> float:
    """Return the threshold. Raises DuetError for nan."""
    if math.isnan(threshold):
        raise DuetError("threshold=nan: a threshold is a number; use math.inf to never speak.")
    return threshold


def replay_thresholds(
    policy: ThresholdPolicy, traces: Sequence[ScoredFrames], thresholds: ArrayLike
) -> list[BoolArray]:
    """Replay a policy at many thresholds, without the model.

    Returns:
        For each trace bool [T, N]: whether its frame n speaks at ``thresholds[t]``.
    """
    own: Callable[..., list[BoolArray]] | None = getattr(policy, "replay", None)
    if own is not None:
        return own(traces, thresholds)
    policies = [policy.with_threshold(float(threshold)) for threshold in np.asarray(thresholds, dtype=float)]
    shapes = [(len(policies), len(trace)) for trace in traces]
    speaks = [np.array([_speaks(each, trace) for each in policies], dtype=bool) for trace in traces]
    return [each.reshape(shape) for each, shape in zip(speaks, shapes, strict=True)]


def _speaks(policy: Policy, trace: ScoredFrames) -> list[bool]:
    policy.reset()
    return [bool(policy.need(scores)) for scores in trace.scores()]


def threshold_grid(policy: ThresholdPolicy, traces: Sequence[ScoredFrames]) -> list[float]:
    """Choose thresholds from always to never speaking, the policy's own among them; ascending."""
    own: Callable[..., list[float]] | None = getattr(policy, "grid", None)
    return _even_grid(policy, traces) if own is None else own(traces)


# scores


def decision_score(scores: FrameScores, heads: Sequence[str]) -> float:
    """The sum of the chosen heads' scores, in [0, len(heads)]."""
    return float(sum(getattr(scores, head) for head in heads))


def decision_scores(trace: ScoredFrames, heads: Sequence[str]) -> FloatArray:
    """The decision score of each frame, float64 [N]."""
    return np.asarray(np.sum([getattr(trace, head) for head in heads], axis=0, dtype=float))


def _checked_heads(heads: Sequence[str]) -> tuple[str, ...]:
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    if not heads or not set(heads) <= set(HEADS) or len(set(heads)) != len(heads):
        raise DuetError(f"heads={heads!r}: name one or both of {HEADS}, each once.")
    return heads


# grids


def _finite(values: FloatArray) -> FloatArray:
    return values[np.isfinite(values)]


def _even_grid(policy: ThresholdPolicy, traces: Sequence[ScoredFrames], most: float = 1.0) -> list[float]:
    """Steps of 1, 2 or 5 times a power of ten that cover the decision curves, or 0 to `most` where they are flat."""
    curves = np.concatenate([np.zeros(0), *(_finite(policy.decision_curve(trace)) for trace in traces)])
    low, high = (curves.min(), curves.max()) if len(curves) else (0.0, 0.0)
    low, high = (0.0, most) if low == high else (low, high)
    rough = max((high - low) / 20, 1e-5)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return _with_own((float(f"{index * step:.6g}") for index in range(first, last + 1)), policy.threshold)


def _with_own(grid: Iterable[float], own: float) -> list[float]:
    """The grid with the policy's own threshold instead of one that is written alike."""
    return sorted({own, *(value for value in grid if f"{value:g}" != f"{own:g}")})
