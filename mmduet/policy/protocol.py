"""Policy and ThresholdPolicy: what an object needs that decides when a duet speaks."""

import copy
import math
from numbers import Real
from typing import Any, Protocol, Self, TypeGuard, cast

from mmduet.errors import DuetError
from mmduet.events import FrameScores
from mmduet.policy.contract import check_moves
from mmduet.policy.scores import FloatArray, ScoredFrames


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
    * ``options``: name -> number, its settings besides threshold and heads, as its class takes them. Default: none.
    * ``choices``: option -> the values that `mmduet calibrate` tries. Default: none.

    Attributes:
        threshold: A live session may assign it between two frames.
    """

    threshold: float

    def with_threshold(self, threshold: float) -> Self:
        """Make a policy with this threshold and the same other settings, which has seen no frame."""

    def decision_curve(self, trace: ScoredFrames) -> FloatArray:
        """Compute the number that is compared with the threshold at each frame, float64 [N]."""


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


def has_threshold(policy: Policy) -> TypeGuard[ThresholdPolicy]:
    """Tell whether a policy has all that moving its threshold needs. Raises DuetError as `check_moves`."""
    found = all(hasattr(policy, name) for name in ("threshold", "with_threshold", "decision_curve"))
    if found:
        check_moves(policy)
    return found


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
    """Return the threshold. Raises DuetError for nan, and for what is no number."""
    if not isinstance(threshold, Real) or math.isnan(threshold):
        raise DuetError(f"threshold={threshold!r}: a threshold is a number; use math.inf to never speak.")
    return threshold
