"""The settings of a run: what a page may set, and the session that they give."""

from collections.abc import Mapping
from typing import Any

from mmduet.streaming.session import DuetSession
from mmduet.video import read_metadata
from mmduet_widgets.camera import CAMERA
from mmduet_widgets.policy_choice import PolicyChoice

SETTINGS = ("mode", "heads", "frame_fps", "remove_assistant_turns", "repetition_penalty")  # fixed during a run


def check_setting(session: DuetSession, policies: PolicyChoice, name: str, value: Any) -> None:
    """Refuse a clip that cannot be read, a policy that is not offered, or a value that a session does not take.

    Raises:
        DuetError: The message names value, rule and fix.
    """
    match name:
        case "clip":
            if value != CAMERA:
                read_metadata(value)
        case "mode":
            policies.check_mode(value)
        case "heads":
            policies.check_heads(value)
        case _:
            DuetSession(session.model, session.processor, **{name: value})


def new_session(
    session: DuetSession, policies: PolicyChoice, settings: Mapping[str, Any], threshold: float | None
) -> DuetSession:
    """Make the session of a run.

    Args:
        session: It gives the model, and is not changed.
        policies: The policies to choose from.
        settings: A value for each of `SETTINGS`; a repetition penalty of 1 is none.
        threshold: None for a policy without one.
    """
    made = session.fresh()
    made.policy = policies.make(settings["mode"], threshold, settings["heads"])
    made.frame_fps = settings["frame_fps"]
    made.remove_assistant_turns = settings["remove_assistant_turns"]
    penalty = settings["repetition_penalty"]
    made.repetition_penalty = None if penalty == 1 else penalty
    return made
