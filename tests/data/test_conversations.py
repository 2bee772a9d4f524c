"""Labels by hand, and the published implementation's for one example of each kind."""

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.data.annotations import GroundingItem, MagqaItem, MagqaTurn, Narration
from mmduet.data.conversations import (
    Clock,
    grounding_conversation,
    magqa_conversation,
    narration_conversation,
    truncate,
)
from mmduet.model.prompt import StreamTurn, TextTurn

CLOCK = Clock(fps=2.0, duration=8.0)


def narrate(*items, clock=CLOCK, max_frames=128):
    narrations = [Narration(text=text, time=time, timespan=span) for text, time, span in items]
    return narration_conversation(narrations, clock, instruction="go", max_frames=max_frames)


def streams(conversation):
    return [turn for turn in conversation.turns if isinstance(turn, StreamTurn)]


class NoLeadIn(Random):
    def randint(self, a, b):
        return a


class FullLeadIn(Random):
    def randint(self, a, b):
        return b


def test_last_frames_are_informative_from_the_spans_middle_on():
    (turn,) = streams(narrate(("cat", 3.0, (1.0, 3.0))))
    assert turn == StreamTurn(6, informative=(0, 0, 0, 1, 1, 1))  # frames up to 3.0; ceil(mid)=2.0: 3 frames


def test_same_text_again_is_skipped():
    conversation = narrate(("cat", 1.0, (0.0, 1.0)), ("cat", 2.0, (1.0, 2.0)), ("dog", 3.0, (2.0, 3.0)))
    assert [turn.text for turn in conversation.turns if isinstance(turn, TextTurn)] == ["go", "cat", "dog"]
    assert [turn.frames for turn in streams(conversation)] == [2, 4]


def test_same_frame_time_replaces():
    conversation = narrate(("cat", 1.6, (1.0, 1.5)), ("dog", 1.9, (1.0, 2.0)))
    assert [turn.text for turn in conversation.turns if isinstance(turn, TextTurn)] == ["go", "dog"]


def test_times_are_clipped_to_the_duration():
    conversation = narrate(("late", 9.0, (7.0, 9.0)), clock=Clock(2.0, 7.7))
    assert conversation.frames == 15  # floor(7.7 * 2): no frame the video does not have


def test_question_after_as_many_frames_as_there_are():
    item = MagqaItem(video_uid="v", conversation=[MagqaTurn(role="user", content="?", time=1.5)])
    assert magqa_conversation(item, CLOCK, rng=FullLeadIn(), max_frames=99).turns[0] == StreamTurn(3, (0, 0, 0))
    conversation = magqa_conversation(item, CLOCK, rng=NoLeadIn(), max_frames=99)
    assert (conversation.first_frame, conversation.frames) == (3, 0)


def test_grounding_labels_whole_video():
    item = GroundingItem(video_uid="v", query="cat", timestamps=[(1.88, 3.19)])
    conversation = grounding_conversation(item, CLOCK, template="find {query}", max_frames=128)
    assert conversation.turns == (
        TextTurn("user", "find cat"),
        StreamTurn(16, relevance=(0, 0, 0, 1, 1, 1) + (0,) * 10),
    )


def test_truncation_shortens_the_stream_that_crosses():
    turns = [
        TextTurn("user", "q"),
        StreamTurn(4, (0, 0, 0, 1)),
        TextTurn("assistant", "a"),
        StreamTurn(4, (0, 0, 1, 1)),
    ]
    assert truncate(turns, 6) == (*turns[:3], StreamTurn(2, (0, 0)))
    assert truncate(turns, 4) == tuple(turns[:3])


times = st.floats(0, 8).map(lambda t: round(t, 2))


@given(st.lists(st.tuples(times, times), max_size=6), st.integers(1, 30))
def test_labels_fill_every_stream_turn(pairs, max_frames):
    items = [(f"text {i}", max(pair), (min(pair), max(pair))) for i, pair in enumerate(pairs)]
    conversation = narrate(*items, max_frames=max_frames)
    assert conversation.frames <= min(max_frames, 16)
    for turn in streams(conversation):
        assert len(turn.informative) == turn.frames > 0
        assert list(turn.informative) == sorted(turn.informative), "speaking is due at a turn's end"


@pytest.mark.parametrize("case", ["dvc", "magqa", "grounding"])
def test_published_labels(reference, case):
    """shared/reference/duet_tiny: what the published code made of these annotations."""
    data = json.loads((reference / "duet_tiny/expected_training.json").read_text())
    annotation, expected = data["annotations"][case], data["cases"][case]
    clock = Clock(data["frame_fps"], data["metadata"]["v0.mp4"]["duration"])
    if case == "dvc":
        narrations = [Narration(**item) for item in annotation["v0.mp4"]["0"]]
        made = narration_conversation(narrations, clock, instruction=expected["user_texts"][0], max_frames=128)
    elif case == "magqa":
        made = magqa_conversation(MagqaItem(**annotation[0]), clock, rng=FullLeadIn(), max_frames=128)
    else:
        made = grounding_conversation(GroundingItem(**annotation[0]), clock, template="{query}", max_frames=128)
    turns = [
        {"role": "stream", "num_frames": turn.frames}
        if isinstance(turn, StreamTurn)
        else {"role": turn.role, "content": turn.text}
        for turn in made.turns
    ]
    # the published list leaves the narration's instruction out
    assert turns[-len(expected["turns"]) :] == expected["turns"]
    assert [made.first_frame, made.first_frame + made.frames] == expected["load_range"]
    for head in ("informative", "relevance"):
        labels = [label for turn in streams(made) for label in getattr(turn, head) or ()]
        assert (labels or None) == expected[f"{head}_labels"]
