"""How figures and players show the number that a policy compares with its threshold."""

import numpy as np

from mmduet.policy import HEADS, REPLY, FloatArray, Policy, ThresholdPolicy, curve_of, has_threshold
from mmduet.trace import DuetTrace


def policy_heads(policy: Policy | None, trace: DuetTrace) -> tuple[str, ...]:
    """The trace's scores that the policy says that it uses. The one score `reply` stands for any choice of heads."""
    named = getattr(policy, "heads", ())
    return trace.heads if named and trace.heads == (REPLY,) else tuple(head for head in named if head in HEADS)


def accumulates(policy: Policy | None) -> bool:
    """Whether the decision curve adds up over frames, so that it is no score and needs a panel of its own."""
    return bool(getattr(policy, "accumulates", False))


def decision_head(policy: ThresholdPolicy, trace: DuetTrace) -> str | None:
    """The head whose scores are the decision curve; None where the curve is another one."""
    heads = policy_heads(policy, trace)
    if len(heads) != 1 or accumulates(policy):
        return None
    same = np.array_equal(curve_of(policy, trace), trace.curve(heads[0]), equal_nan=True)
    return heads[0] if same else None


def decision_name(policy: Policy, trace: DuetTrace) -> str:
    """The name of a decision curve that is not one head's."""
    heads = policy_heads(policy, trace)
    return "running sum" if accumulates(policy) else " + ".join(heads) if len(heads) > 1 else "decision score"


def compared_curves(trace: DuetTrace, policy: Policy) -> tuple[dict[str, FloatArray], float | None]:
    """Choose the curves that may be drawn in one panel with a line at the threshold.

    Returns:
        The decision curve, name -> float64 [N], which alone is compared with the threshold; and the threshold. Of a
        policy without a threshold: each head's scores, and None.
    """
    if not has_threshold(policy):
        return {head: trace.curve(head) for head in trace.heads}, None
    name = decision_head(policy, trace) or decision_name(policy, trace)
    return {name: curve_of(policy, trace)}, policy.threshold
