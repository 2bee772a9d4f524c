"""Contract: what the methods of a policy must return, checked where it is returned."""

import reprlib
from typing import Any

import numpy as np

from mmduet.errors import DuetError
from mmduet.events import FrameScores
from mmduet.policy.scores import FloatArray, ScoredFrames


def class_name(policy: Any) -> str:
    """The class of a policy as ``module:CLASS``."""
    return f"{type(policy).__module__}:{type(policy).__qualname__}"


def decided(policy: Any, scores: FrameScores) -> bool:
    """Ask a policy whether a response is due after a frame.

    Raises:
        DuetError: Its `need` returns no bool. A score or a text would count as True, a forgotten return as False.
    """
    speaks = policy.need(scores)
    if isinstance(speaks, bool | np.bool_):
        return bool(speaks)
    raise DuetError(f"policy {class_name(policy)}: need returned {reprlib.repr(speaks)}: return True or False.")


def curve_of(policy: Any, trace: ScoredFrames) -> FloatArray:
    """Ask a policy for its decision curve, float64 [N].

    Raises:
        DuetError: Its `decision_curve` does not return one number a frame.
    """
    found = policy.decision_curve(trace)
    try:
        curve = np.asarray(found, dtype=float)
    except (TypeError, ValueError):
        curve = None
    if curve is not None and curve.shape == (len(trace),):
        return curve
    gave = reprlib.repr(found) if curve is None or not curve.ndim else f"an array {list(curve.shape)}"
    raise DuetError(
        f"policy {class_name(policy)}: decision_curve returned {gave} for {len(trace)} frames: return one number a "
        "frame."
    )


def check_moves(policy: Any) -> None:
    """Check that the threshold of a policy can be moved, and that nothing else moves with it.

    Raises:
        DuetError: Its `with_threshold` does not make another object of the class, with the threshold that it is given
            and the same heads and options.
    """
    where = f"policy {class_name(policy)}: with_threshold"
    same = policy.with_threshold(policy.threshold)
    if same is policy or type(same) is not type(policy):
        gave = "the policy itself" if same is policy else f"a {type(same).__qualname__}"
        raise DuetError(f"{where} returned {gave}: make another policy of its class with type(self)(threshold, …).")
    wanted = 0.25 if policy.threshold == 0.5 else 0.5
    if (got := same.with_threshold(wanted).threshold) != wanted:
        raise DuetError(f"{where}({wanted}) made a policy whose threshold is {got}: give it the one that it is given.")
    for name, kind in (("heads", list), ("options", dict)):
        own, others = (kind(getattr(each, name, None) or ()) for each in (policy, same))
        if own != others:
            raise DuetError(f"{where} made a policy with {name}={others}, and its own are {own}: pass them on.")
