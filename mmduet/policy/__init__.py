"""Policies: when a duet speaks.

A policy is any object with ``need(scores) -> bool``, called once per frame in order, and ``reset()``, called before a
new video. It does not know the model: the same policy drives a live session and replays a finished trace. A policy
may also have a threshold, which plots and widgets then move: see `ThresholdPolicy`.

scores    what a model says of a frame, and the number that policies make of it
protocol  what an object needs to be a policy
rules     ScoreThreshold, ScoreSum, Greedy
hysteresis  ScoreHysteresis
replay    decisions at other thresholds
builtin   policies by name
policy_file  a policy that was chosen, as a small file
"""

from mmduet.policy.builtin import POLICIES, make_policy, policy_mode
from mmduet.policy.hysteresis import ScoreHysteresis
from mmduet.policy.policy_file import PolicyFile, check_policy_target, read_policy, write_policy
from mmduet.policy.protocol import (
    Policy,
    ThresholdPolicy,
    checked_policy,
    checked_threshold,
    fresh_policy,
    has_threshold,
    threshold_policy,
)
from mmduet.policy.replay import fine_thresholds, replay_thresholds, threshold_grid
from mmduet.policy.rules import Greedy, ScoreSum, ScoreThreshold
from mmduet.policy.scores import (
    HEADS,
    REPLY,
    BoolArray,
    FloatArray,
    FrameScores,
    ScoredFrames,
    decision_score,
    decision_scores,
)

__all__ = [
    "HEADS",
    "POLICIES",
    "REPLY",
    "BoolArray",
    "FloatArray",
    "FrameScores",
    "Greedy",
    "Policy",
    "PolicyFile",
    "ScoreHysteresis",
    "ScoreSum",
    "ScoreThreshold",
    "ScoredFrames",
    "ThresholdPolicy",
    "check_policy_target",
    "checked_policy",
    "checked_threshold",
    "decision_score",
    "decision_scores",
    "fine_thresholds",
    "fresh_policy",
    "has_threshold",
    "make_policy",
    "policy_mode",
    "read_policy",
    "replay_thresholds",
    "threshold_grid",
    "threshold_policy",
    "write_policy",
]
