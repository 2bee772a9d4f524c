import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.data.conversations import labelled_stream, truncate
from mmduet.errors import DuetError
from mmduet.model.prompt import StreamTurn, TextTurn


def test_truncation_shortens_the_stream_that_crosses():
    turns = [
        TextTurn("user", "q"),
        StreamTurn(4, (0, 0, 0, 1)),
        TextTurn("assistant", "a"),
        StreamTurn(4, (0, 0, 1, 1)),
    ]
    assert truncate(turns, 6) == (*turns[:3], StreamTurn(2, (0, 0)))
    assert truncate(turns, 4) == tuple(turns[:3])


@given(st.integers(-1000, -1), st.integers(-10, 10), st.integers(0, 200))
def test_a_stretch_that_ends_before_it_begins_is_refused(frames, positive, max_frames):
    with pytest.raises(DuetError, match=f"a stream turn of {frames} frames: give a whole number from 0, and turns in"):
        labelled_stream(frames, positive, max_frames)
