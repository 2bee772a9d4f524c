"""Frames before a question, by hand."""

from random import Random

from mmduet.data.conversations import Clock
from mmduet.data.kinds.magqa import MagqaItem, MagqaTurn, magqa_conversation
from mmduet.model.prompt import StreamTurn


class NoLeadIn(Random):
    def randint(self, a, b):
        return a


class FullLeadIn(Random):
    def randint(self, a, b):
        return b


def test_question_after_as_many_frames_as_there_are():
    item = MagqaItem(video_uid="v", conversation=[MagqaTurn(role="user", content="?", time=1.5)])
    clock = Clock(fps=2.0, duration=8.0)
    assert magqa_conversation(item, clock, rng=FullLeadIn(), max_frames=99).turns[0] == StreamTurn(3, (0, 0, 0))
    conversation = magqa_conversation(item, clock, rng=NoLeadIn(), max_frames=99)
    assert (conversation.first_frame, conversation.frames) == (3, 0)
