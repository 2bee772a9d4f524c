"""POLICIES: the built-in policies by name."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from mmduet.errors import DuetError
from mmduet.policy.contract import class_name
from mmduet.policy.hysteresis import ScoreHysteresis
from mmduet.policy.protocol import Policy, checked_policy
from mmduet.policy.rules import Greedy, ScoreSum, ScoreThreshold
from mmduet.system.objects import find_object

POLICIES: dict[str, Callable[..., Policy]] = {
    "threshold": ScoreThreshold,
    "sum": ScoreSum,
    "hysteresis": ScoreHysteresis,
    "greedy": Greedy,
}


def make_policy(
    mode: str,
    threshold: float,
    *,
    heads: Sequence[str] = ("informative",),
    options: Mapping[str, float] | None = None,
) -> Policy:
    """Make a policy by name.

    Args:
        mode: ``threshold``, ``sum``, ``hysteresis``, ``greedy``, or ``module:OBJECT`` for a class of your own, which
            is called as ``OBJECT(threshold, heads=heads, **options)``.
        threshold: As of the policy.
        heads: As of the policy.
        options: The policy's other settings; None: its defaults.

    Raises:
        DuetError: The mode is unknown, or its object cannot be called so or makes no policy.
    """
    kind = find_object(mode, POLICIES, cast(Any, Callable), argument="mode")
    try:
        inspect.signature(kind).bind(threshold, heads=heads, **(options or {}))
    except (TypeError, ValueError) as error:
        named = "".join(f", {name}=…" for name in options or {})
        raise DuetError(f"mode={mode!r} must take (threshold, heads=…{named}): {error}.") from error
    return checked_policy(kind(threshold, heads=heads, **(options or {})))


def policy_mode(policy: Policy) -> str:
    """The name under which `make_policy` knows a policy's class."""
    known = [mode for mode, built_in in POLICIES.items() if built_in is type(policy)]
    return known[0] if known else class_name(policy)
