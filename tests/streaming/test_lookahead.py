from hypothesis import given
from hypothesis import strategies as st

from mmduet.streaming.lookahead import LookAhead

SIZES = {"at_once": 1500, "call_cost": 48}


def test_without_responses_it_is_as_many_as_fill_the_machine():
    assert LookAhead(None, tokens=4, **SIZES).frames() == SIZES["at_once"] // 4
    assert LookAhead(None, tokens=10_000, **SIZES).frames() == 1


def test_it_shrinks_with_responses_and_grows_with_silence():
    ahead = LookAhead(None, tokens=4, **SIZES)
    for _ in range(5):
        ahead.saw(response=True)
    often = ahead.frames()
    for _ in range(400):
        ahead.saw(response=False)
    seldom = ahead.frames()
    assert 1 <= often < seldom <= SIZES["at_once"] // 4
    ahead.reset()
    assert ahead.frames() == SIZES["at_once"] // 4


@given(st.integers(1, 50), st.lists(st.booleans()))
def test_a_fixed_number_stays(frames, responses):
    ahead = LookAhead(frames, tokens=4, **SIZES)
    for response in responses:
        ahead.saw(response=response)
    assert ahead.frames() == ahead.limit == frames
