"""What a user's policy returns: wrong kinds are refused wherever they would count, with the method's name."""

import numpy as np
import pytest

from mmduet import DuetSession
from mmduet.errors import DuetError
from mmduet.evaluation.calibration import Candidate
from mmduet.plots import score_figure
from mmduet.policy import ScoreThreshold, has_threshold, replay_thresholds, threshold_grid
from mmduet.trace import DuetTrace
from tests.policies import Smoothed

TRACE = DuetTrace(np.arange(8) / 2, np.linspace(0.1, 0.9, 8), np.linspace(0.9, 0.1, 8))


class Waiting(Smoothed):
    """A policy with a setting, which it waits for after each response."""

    def __init__(self, threshold, *, heads=("informative",), seconds=1.0):
        super().__init__(threshold, heads=heads)
        self.seconds, self.last = seconds, -9.0

    def need(self, scores):
        if not super().need(scores) or scores.time < self.last + self.seconds:
            return False
        self.last = scores.time
        return True

    def reset(self):
        super().reset()
        self.last = -9.0

    def with_threshold(self, threshold):
        return type(self)(threshold, heads=self.heads, seconds=self.seconds)


def changed(**members):
    return type("Changed", (Waiting,), members)(0.3, seconds=2.0)


@pytest.mark.parametrize("value", ["no", None, 0.0, 1, (True,), np.array([True, False])], ids=repr)
def test_what_need_returns_is_true_or_false(value, tiny, frames):
    policy = changed(need=lambda self, scores: value)
    for use in (
        lambda: TRACE.replay(policy),
        lambda: replay_thresholds(policy, [TRACE], [0.5]),
        lambda: DuetSession(*tiny, policy=policy).run(frames[:2]),
    ):
        with pytest.raises(DuetError, match=r"policy tests\.policy\.test_contract:Changed: need returned .*: return"):
            use()


@pytest.mark.parametrize("true", [True, np.bool_(True)])
def test_numpys_bools_are_bools(true):
    assert TRACE.replay(changed(need=lambda self, scores: true)).tolist() == list(range(8))


def moves(self, threshold):
    self.threshold = threshold
    return self


MOVES = {
    "the policy itself": moves,
    "a NoneType": lambda self, threshold: None,
    "a Smoothed": lambda self, threshold: Smoothed(threshold),
    "a policy whose threshold is 0.3": lambda self, threshold: type(self)(0.3, seconds=2.0),
    "heads": lambda self, threshold: type(self)(threshold, heads=("relevance",), seconds=2.0),
    "options": lambda self, threshold: type(self)(threshold, heads=self.heads),
}


@pytest.mark.parametrize(("gave", "with_threshold"), MOVES.items(), ids=MOVES)
def test_a_moved_policy_is_another_one_with_the_same_settings(gave, with_threshold):
    policy = changed(with_threshold=with_threshold, options=property(lambda self: {"seconds": self.seconds}))
    for use in (has_threshold, lambda policy: score_figure(TRACE, policy)):
        with pytest.raises(DuetError, match=f"Changed: with_threshold.*{gave}"):
            use(policy)
    assert policy.threshold == 0.3, "the check has moved the user's own policy"


@pytest.mark.parametrize(
    "members",
    [
        {"with_threshold": lambda self, threshold: type(self)(threshold, heads=self.heads)},  # forgets the seconds
        {"replay": lambda self, traces, thresholds: [np.ones((len(thresholds), len(trace))) for trace in traces]},
        {"reset": lambda self: None},
    ],
    ids=["with_threshold", "replay", "reset"],
)
def test_at_its_own_threshold_a_replay_decides_as_the_policy(members):
    policy = changed(**members)
    policy.last = 1.0  # what reset should forget
    for use in (lambda: replay_thresholds(policy, [TRACE], [0.9]), lambda: score_figure(TRACE, policy)):
        with pytest.raises(DuetError, match=r"Changed: at its own threshold 0.3, .* decides otherwise than need at"):
            use()


@pytest.mark.parametrize("shape", [(8,), (8, 1), (1, 7)])
def test_a_policys_own_replay_has_a_row_a_threshold(shape):
    policy = changed(replay=lambda self, traces, thresholds: [np.ones(shape, bool) for _ in traces])
    with pytest.raises(DuetError, match=r"replay returned shapes .* here \[\(1, 8\)\]"):
        replay_thresholds(policy, [TRACE], [0.5])


@pytest.mark.parametrize("curve", [[0.5] * 7, np.ones((8, 2)), 0.5, None, ["a"] * 8], ids=repr)
def test_a_decision_curve_has_one_number_a_frame(curve):
    policy = changed(decision_curve=lambda self, trace: curve)
    for use in (threshold_grid, lambda policy, traces: score_figure(traces[0], policy)):
        with pytest.raises(DuetError, match=r"decision_curve returned .* for 8 frames: return one number a frame"):
            use(policy, [TRACE])


def test_a_decision_curve_may_be_a_list():
    policy = changed(decision_curve=lambda self, trace: [0.5] * 8)
    assert policy.threshold in threshold_grid(policy, [TRACE])


@pytest.mark.parametrize("grid", [[], None, 0.5, ["a", 0.1], [[0.1]], [float("nan")]], ids=repr)
def test_a_grid_is_a_list_of_thresholds(grid):
    with pytest.raises(DuetError, match=r"Changed: grid returned .*: return a list of thresholds"):
        threshold_grid(changed(grid=lambda self, traces: grid), [TRACE])


def test_a_grid_gets_the_policys_own_threshold():
    assert threshold_grid(changed(grid=lambda self, traces: [0.9, 0.1]), [TRACE]) == [0.1, 0.3, 0.9]


def test_candidates_of_a_calibration_are_checked(monkeypatch):
    forgets = type("Forgets", (ScoreThreshold,), {"with_threshold": lambda self, threshold: ScoreThreshold(threshold)})
    monkeypatch.setattr("tests.policies.Forgets", forgets, raising=False)
    with pytest.raises(DuetError, match="with_threshold returned a ScoreThreshold"):
        Candidate("tests.policies:Forgets", ("informative",), {}).policy(0.5)
