from mmduet.data.conversations import truncate
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
