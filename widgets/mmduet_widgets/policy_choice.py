"""PolicyChoice: the policies that a live player offers for its model, and the one that its settings give."""

import math
from collections.abc import Sequence
from typing import Any

from mmduet.errors import DuetError
from mmduet.policy import (
    POLICIES,
    PRESETS,
    REPLY,
    FrameScores,
    Policy,
    decision_score,
    fresh_policy,
    has_threshold,
    make_policy,
    policy_mode,
)

NEW_THRESHOLD = 0.5  # after a policy without a threshold


class PolicyChoice:
    """The built-in policies that can judge a model's scores, presets for its heads, and one of a session's own.

    Args:
        own: The session's policy.
        heads: The names of the model's scores: both heads, or ``reply`` alone of a model that decides in words.
    """

    def __init__(self, own: Policy, heads: Sequence[str]):
        self.own, self.heads = own, tuple(heads)
        nothing: dict[str, Any] = dict.fromkeys(heads, 0.0)
        self._silent = FrameScores(0.0, greedy=False if REPLY in self.heads else None, **nothing)
        fitting = {mode: kind for mode, kind in POLICIES.items() if self._judges(mode)}
        self.kinds: dict[str, Any] = {**fitting, policy_mode(own): type(own)}
        self.presets = {name: preset for name, preset in PRESETS.items() if set(preset.heads) <= set(heads)}

    def _judges(self, mode: str) -> bool:
        try:
            make_policy(mode, math.inf).need(self._silent)
        except DuetError:
            return False
        return True

    def data(self) -> list[dict[str, Any]]:
        """For each policy and preset its mode, its rule in words, and whether its heads can be chosen."""
        rules = [
            {"mode": mode, "rule": self._rule(kind), "heads": mode in POLICIES and len(self.heads) > 1}
            for mode, kind in self.kinds.items()
        ]
        presets = [
            {"mode": name, "rule": f"{self._rule(POLICIES[preset.mode])} for an {name}", "heads": False}
            for name, preset in self.presets.items()
        ]
        return [*rules, *presets]

    def _rule(self, kind: Any) -> str:
        """The end of "speak when … scores", or, where no heads are chosen, a description of its own."""
        if not hasattr(kind, "rule"):
            return kind.__name__
        return kind.rule if len(self.heads) > 1 else f"scores {kind.rule}"

    def check_mode(self, mode: Any) -> None:
        """Refuse a mode that is not offered; a page may not name a module of its own."""
        if mode not in self.kinds and mode not in self.presets:
            raise DuetError(f"mode={mode!r} is not known: use one of {sorted((*self.kinds, *self.presets))}.")

    def check_heads(self, heads: Sequence[str]) -> None:
        """Refuse heads that the model does not have."""
        make_policy("threshold", 0.0, heads=heads)
        decision_score(self._silent, heads)

    def make(self, mode: str, threshold: float | None, heads: Sequence[str]) -> Policy:
        """Make the policy of some settings, which has seen no frame. A preset has heads of its own."""
        if mode in self.presets:
            mode, heads = self.presets[mode].mode, self.presets[mode].heads
        if mode not in POLICIES:
            if has_threshold(self.own) and threshold is not None:
                return self.own.with_threshold(threshold)
            return fresh_policy(self.own)
        if not hasattr(POLICIES[mode], "with_threshold"):
            return make_policy(mode, math.inf, heads=heads)
        options = getattr(self.own, "options", {}) if mode == policy_mode(self.own) else {}
        return make_policy(mode, NEW_THRESHOLD if threshold is None else threshold, heads=heads, options=options)
