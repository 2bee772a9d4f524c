"""PolicyChoice: which policies fit a model, and what its settings give."""

import math

import pytest
from mmduet_widgets.policy_choice import NEW_THRESHOLD, PolicyChoice

from mmduet.errors import DuetError
from mmduet.policy import HEADS, Greedy, ScoreHysteresis, ScoreSum, ScoreThreshold
from tests.policies import EveryThird, Smoothed

WORDS = ("reply",)
TIMED = {"threshold", "sum", "hysteresis"}


@pytest.mark.parametrize(("heads", "modes"), [(HEADS, TIMED), (WORDS, TIMED | {"greedy"})])
def test_only_policies_that_can_judge_the_scores_are_offered(heads, modes):
    offered = PolicyChoice(ScoreThreshold(0.5), heads).data()
    presets = {"alert"} if heads == HEADS else set()
    assert {each["mode"] for each in offered} == modes | presets
    chosen = {each["heads"] for each in offered if each["mode"] not in presets}
    assert chosen == {heads == HEADS}, "a model in words has no heads to choose"


def test_a_rule_is_readable_with_and_without_a_choice_of_heads():
    def rules(heads):
        return [each["rule"] for each in PolicyChoice(EveryThird(), heads).data()]

    ends = ["are above the threshold", "add up to the threshold", "rise above the threshold"]
    assert rules(HEADS) == [*ends, "EveryThird", "are above the threshold for an alert"]
    assert rules(WORDS) == [*(f"scores {end}" for end in ends), "Greedy", "EveryThird"]


def test_settings_give_a_policy_and_a_threshold_only_where_there_is_one():
    choice = PolicyChoice(Greedy(), WORDS)
    assert isinstance(choice.make("greedy", 0.5, WORDS), Greedy), "the threshold of the policy before is left out"
    assert isinstance(choice.make("greedy", None, WORDS), Greedy)
    made = choice.make("threshold", None, WORDS)
    assert (type(made), made.threshold) == (ScoreThreshold, NEW_THRESHOLD)
    made = choice.make("sum", math.inf, WORDS)
    assert (type(made), made.threshold) == (ScoreSum, math.inf)


def test_an_alert_is_a_threshold_of_both_heads_whatever_heads_were_chosen():
    choice = PolicyChoice(ScoreThreshold(0.5), HEADS)
    choice.check_mode("alert")
    made = choice.make("alert", 1.4, ("informative",))
    assert (type(made), made.threshold, set(made.heads)) == (ScoreThreshold, 1.4, set(HEADS))
    with pytest.raises(DuetError, match="mode='alert' is not known"):
        PolicyChoice(ScoreThreshold(0.5), WORDS).check_mode("alert")


def test_ones_own_policy_keeps_all_but_its_threshold():
    own = Smoothed(0.4, heads=("relevance",))
    choice = PolicyChoice(own, HEADS)
    [mode] = set(choice.kinds) - TIMED
    made = choice.make(mode, 0.7, HEADS)
    assert (type(made), made.threshold, made.heads) == (Smoothed, 0.7, ("relevance",))
    assert choice.make(mode, None, HEADS) is not own, "a run has a policy of its own"


def test_a_built_in_policy_of_ones_own_keeps_its_options():
    choice = PolicyChoice(ScoreHysteresis(0.4, refractory=3.0), HEADS)
    assert choice.make("hysteresis", 0.7, HEADS).options["refractory"] == 3.0
    assert choice.make("threshold", 0.7, HEADS).threshold == 0.7


def test_what_a_model_does_not_have_is_refused():
    choice = PolicyChoice(ScoreThreshold(0.5), HEADS)
    with pytest.raises(DuetError, match=r"use one of \['alert', 'hysteresis', 'sum', 'threshold'\]"):
        choice.check_mode("greedy")
    for heads in (["reply"], ["nose"], []):
        with pytest.raises(DuetError, match="heads="):
            choice.check_heads(heads)
    PolicyChoice(Greedy(), WORDS).check_heads(["reply"])
