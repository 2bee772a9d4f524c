"""The settings of a run: what is refused, and the session that they give."""

from typing import Any

import pytest
from mmduet_widgets.policy_choice import PolicyChoice
from mmduet_widgets.run_settings import SETTINGS, check_setting, new_session

from mmduet.errors import DuetError
from mmduet.policy import HEADS, ScoreSum, ScoreThreshold
from mmduet.streaming.session import DuetSession

RUN: dict[str, Any] = {
    "mode": "sum",
    "heads": ["relevance"],
    "frame_fps": 3.0,
    "remove_assistant_turns": True,
    "repetition_penalty": 1.5,
}


@pytest.fixture
def session(tiny) -> DuetSession:
    return DuetSession(*tiny, policy=ScoreThreshold(0.5), frame_fps=4.0)


def test_a_session_has_the_settings_and_the_given_one_is_not_changed(session: DuetSession) -> None:
    assert set(RUN) == set(SETTINGS)
    made = new_session(session, PolicyChoice(session.policy, HEADS), RUN, 2.0)
    assert isinstance(made.policy, ScoreSum)
    assert (made.policy.threshold, made.policy.heads) == (2.0, ("relevance",))
    assert (made.frame_fps, made.remove_assistant_turns, made.repetition_penalty) == (3.0, True, 1.5)
    assert (session.frame_fps, session.remove_assistant_turns, session.repetition_penalty) == (4.0, False, None)
    assert (
        new_session(
            session, PolicyChoice(session.policy, HEADS), {**RUN, "repetition_penalty": 1}, 2.0
        ).repetition_penalty
        is None
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("clip", "none.mp4", "none.mp4 does not exist"),
        ("mode", "loud", "mode='loud' is not known"),
        ("heads", ["nose"], "name one or both"),
        ("frame_fps", 0.0, "frame_fps=0.0"),
        ("repetition_penalty", -1.0, "repetition_penalty=-1.0"),
    ],
)
def test_a_wrong_value_is_refused(session: DuetSession, name: str, value: Any, message: str) -> None:
    with pytest.raises(DuetError, match=message):
        check_setting(session, PolicyChoice(session.policy, HEADS), name, value)
