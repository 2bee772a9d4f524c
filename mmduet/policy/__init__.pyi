from .builtin import POLICIES as POLICIES, make_policy as make_policy, policy_mode as policy_mode
from .contract import curve_of as curve_of, decided as decided
from .hysteresis import ScoreHysteresis as ScoreHysteresis
from .policy_file import (
    PRESETS as PRESETS,
    PolicyFile as PolicyFile,
    check_policy_target as check_policy_target,
    read_policy as read_policy,
    write_policy as write_policy,
)
from .protocol import (
    Policy as Policy,
    ThresholdPolicy as ThresholdPolicy,
    checked_policy as checked_policy,
    checked_threshold as checked_threshold,
    fresh_policy as fresh_policy,
    has_threshold as has_threshold,
    threshold_policy as threshold_policy,
)
from .replay import (
    fine_thresholds as fine_thresholds,
    replay_thresholds as replay_thresholds,
    threshold_grid as threshold_grid,
)
from .rules import Greedy as Greedy, ScoreSum as ScoreSum, ScoreThreshold as ScoreThreshold
from .scores import (
    HEADS as HEADS,
    REPLY as REPLY,
    BoolArray as BoolArray,
    FloatArray as FloatArray,
    FrameScores as FrameScores,
    ScoredFrames as ScoredFrames,
    decision_score as decision_score,
    decision_scores as decision_scores,
)
