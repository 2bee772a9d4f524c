from hypothesis import given
from hypothesis import strategies as st

from mmduet.lookahead import TOKENS_AT_ONCE, LookAhead


def test_without_responses_it_is_as_many_as_fill_the_machine():
    assert LookAhead(None, tokens=4).frames() == TOKENS_AT_ONCE // 4
    assert LookAhead(None, tokens=10_000).frames() == 1


def test_it_shrinks_with_responses_and_grows_with_silence():
    ahead = LookAhead(None, tokens=4)
    for _ in range(5):
        ahead.saw(response=True)
    often = ahead.frames()
    for _ in range(400):
        ahead.saw(response=False)
    seldom = ahead.frames()
    assert 1 <= often < seldom <= TOKENS_AT_ONCE // 4
    ahead.reset()
    assert ahead.frames() == TOKENS_AT_ONCE // 4


@given(st.integers(1, 50), st.lists(st.booleans()))
def test_a_fixed_number_stays(frames, responses):
    ahead = LookAhead(frames, tokens=4)
    for response in responses:
        ahead.saw(response=response)
    assert ahead.frames() == ahead.limit == frames
