from threading import Event, active_count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.system.stages import StageClock, count_stages
from mmduet.video.prefetch import prefetch


@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
def test_the_items_in_their_order(items, size):
    assert list(prefetch(iter(items), size)) == items


def test_it_works_ahead_but_not_further_than_it_may():
    made, fourth = [], Event()

    def numbers():
        for number in range(10):
            made.append(number)
            if number == 3:
                fourth.set()
            yield number

    items = prefetch(numbers(), 2)
    assert next(items) == 0
    assert fourth.wait(10)  # 1 and 2 wait, 3 is at hand: no one has asked for them
    assert made == [0, 1, 2, 3]
    items.close()


def test_an_error_comes_in_its_place():
    def numbers():
        yield 1
        raise ValueError("no 2")

    items = prefetch(numbers(), 4)
    assert next(items) == 1
    with pytest.raises(ValueError, match="no 2"):
        next(items)


def test_who_goes_away_leaves_no_thread():
    before = active_count()
    items = prefetch(iter(range(1000)), 2)
    assert next(items) == 0
    assert active_count() == before + 1
    items.close()
    assert active_count() == before


def test_nothing_starts_before_it_is_asked_for():
    before = active_count()
    prefetch(iter([1]), 1)
    assert active_count() == before


def test_waiting_is_a_stage():
    with count_stages(StageClock()) as clock:
        list(prefetch(iter([1, 2]), 1))
    assert set(clock.seconds) == {"wait"}
    assert clock.own == clock.seconds["wait"] > 0
