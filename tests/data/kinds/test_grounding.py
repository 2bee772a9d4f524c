"""Labels of queries, by hand."""

from mmduet.data.conversations import Clock
from mmduet.data.kinds.grounding import GROUNDING_TEMPLATES, GroundingItem, grounding_conversation
from mmduet.model.prompt import StreamTurn, TextTurn


def test_there_are_at_least_as_many_templates_as_published():
    assert len(set(GROUNDING_TEMPLATES)) >= 12
    assert all(template.count("{query}") == 1 for template in GROUNDING_TEMPLATES)


def test_the_whole_video_is_labelled():
    item = GroundingItem(video_uid="v", query="cat", timestamps=[(1.88, 3.19)])
    clock = Clock(fps=2.0, duration=8.0)
    conversation = grounding_conversation(item, clock, template="find {query}", max_frames=128)
    assert conversation.turns == (
        TextTurn("user", "find cat"),
        StreamTurn(16, relevance=(0, 0, 0, 1, 1, 1) + (0,) * 10),
    )
