"""Checks of what a session is given: its settings, the frames of a turn, and queries."""

import math
from numbers import Real
from typing import Any

from mmduet.errors import DuetError
from mmduet.events import Query
from mmduet.streaming.protocol import PROTOCOLS


def checked_query(query: Any) -> Query:
    """Return the query. Raises DuetError for what is none, an empty text, and a time that is not 0 or later."""
    if not isinstance(query, Query) or not isinstance(query.text, str) or not isinstance(query.time, Real):
        raise DuetError(f"queries: {query!r} is no query: give Query(12.5, 'What is happening?').")
    if not query.text.strip():
        raise DuetError(f"query {query.text!r} at {query.time} s is empty: give a question.")
    if not query.time >= 0:
        raise DuetError(f"query {query.text!r} at {query.time} s: a time is 0 or later.")
    return query


def not_asked(query: Query, frames: int, frame_fps: float) -> str:
    """Say of a query that its time has not come after so many frames."""
    end = f"the last frame watched was at {(frames - 1) / frame_fps:.4g} s" if frames else "there was no frame"
    return f"{query.text!r} at {query.time:g} s was not asked: {end}."


def check_settings(
    frame_fps: float,
    protocol: str,
    repetition_penalty: float | None,
    max_new_tokens: int,
    look_ahead: int | None,
    context_frames: int | None,
) -> None:
    """Raise DuetError for a setting of `DuetSession` that is out of its range."""
    if not 0 < frame_fps < math.inf:
        raise DuetError(f"frame_fps={frame_fps}: give a positive number of frames a second.")
    if protocol not in PROTOCOLS:
        raise DuetError(f"protocol={protocol!r} is not known; known are {sorted(PROTOCOLS)}.")
    if repetition_penalty is not None and not 0 < repetition_penalty < math.inf:
        raise DuetError(f"repetition_penalty={repetition_penalty}: give a positive number, or None.")
    if max_new_tokens < 1:
        raise DuetError(f"max_new_tokens={max_new_tokens}: a response has at least one token.")
    if look_ahead is not None and look_ahead < 1:
        raise DuetError(f"look_ahead={look_ahead}: give a number of frames from 1 on, or None to adapt it.")
    if context_frames is not None and not context_frames >= 2:
        raise DuetError(f"context_frames={context_frames}: a context holds at least 2 frames; None: all of them.")


def check_turns(decides: str, frames: int, context_frames: int | None) -> None:
    """Raise DuetError where a model that decides so takes no turns of so many frames, or its context holds none."""
    if decides == "heads" and frames != 1:
        raise DuetError(f"frames_per_turn={frames}: a model with heads scores each frame: leave it out.")
    if frames < 1:
        raise DuetError(f"frames_per_turn={frames}: a turn has at least one frame.")
    if context_frames is not None and frames > context_frames // 2:
        raise DuetError(
            f"context_frames={context_frames}: a turn has {frames} frames, and half of the context must hold it: give "
            f"at least {2 * frames}."
        )
