import torch

from mmduet.model.backbone import EmbeddedTokens
from mmduet.streaming.state import KeptResponse, newest_turns
from mmduet.trace import Query

FIRST, SECOND = Query(0.0, "first"), Query(1.0, "second")
KEPT = KeptResponse((1,), "x")
A, B, C = (EmbeddedTokens(torch.full((1, 1), number)) for number in range(3))


def test_the_newest_frames_stay_with_what_came_since_and_the_open_question():
    turns = [FIRST, SECOND, A, KEPT, B, C]
    assert newest_turns(turns, 1) == [SECOND, C]
    assert newest_turns(turns, 2) == [SECOND, B, C]
    assert newest_turns(turns, 3) == [SECOND, A, KEPT, B, C]
    assert newest_turns([FIRST, A, SECOND, B, KEPT], 1) == [SECOND, B, KEPT]


def test_without_a_question_there_is_none():
    assert newest_turns([A, B], 1) == [B]
    assert newest_turns([A, B], 5) == [A, B]
