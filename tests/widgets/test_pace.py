"""Pace: due, behind, left."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmduet_widgets.pace import Pace

SECONDS = st.floats(0.0, 10.0, allow_nan=False)


def watch(work: list[float], *, interval: float = 1.0) -> tuple[Pace, float]:
    """A run whose frame k takes work[k] s, in the clip's pace; and the clock at its end."""
    pace, now = Pace(), 100.0
    for frame, seconds in enumerate(work):
        pace.arrive(now)
        now = max(now, pace.due)
        pace.begin(frame * interval, interval, now)
        now += seconds
    return pace, now


@given(work=st.lists(SECONDS, min_size=2))
def test_behind_is_what_the_clip_would_have_played_meanwhile(work: list[float]) -> None:
    pace, now = watch(work)
    played = max(now, pace.due) - 100.0  # until the next frame may begin
    assert pace.behind(now) == pytest.approx(played - len(work), abs=1e-6)


def test_a_run_in_time_is_not_behind_and_takes_as_long_as_the_clip() -> None:
    pace, now = watch([0.2] * 5)
    assert (pace.behind(now), pace.left(10.0)) == (0.0, pytest.approx(6.0))


def test_a_slow_frame_shows_while_it_is_worked_on() -> None:
    pace, now = watch([3.0])
    assert pace.behind(now) == pytest.approx(2.0)
    assert pace.behind(None) == 0.0, "a paused run falls no further behind"


@given(rest=SECONDS)
def test_a_pause_is_neither_late_nor_work(rest: float) -> None:
    pace, now = watch([0.2] * 3)
    pace.arrive(now)
    pace.pause(rest)
    now = max(now, pace.due) + rest
    pace.begin(3.0, 1.0, now)
    assert (pace.behind(now), pace.left(10.0)) == (0.0, pytest.approx(7.0))


def test_before_the_second_frame_nothing_is_known() -> None:
    assert (Pace().left(10.0), Pace().behind(0.0)) == (None, 0.0)
    assert math.isinf(Pace().due)
    assert watch([1.0])[0].left(10.0) is None
