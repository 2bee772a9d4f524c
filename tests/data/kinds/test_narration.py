"""Labels of narrations, by hand."""

from hypothesis import given
from hypothesis import strategies as st

from mmduet.data.conversations import Clock
from mmduet.data.kinds.narration import NARRATION_INSTRUCTIONS, Narration, narration_conversation
from mmduet.model.prompt import StreamTurn, TextTurn

CLOCK = Clock(fps=2.0, duration=8.0)


def narrate(*items, clock=CLOCK, max_frames=128):
    narrations = [Narration(text=text, time=time, timespan=span) for text, time, span in items]
    return narration_conversation(narrations, clock, instruction="go", max_frames=max_frames)


def streams(conversation):
    return [turn for turn in conversation.turns if isinstance(turn, StreamTurn)]


def texts(conversation):
    return [turn.text for turn in conversation.turns if isinstance(turn, TextTurn)]


def test_there_are_at_least_as_many_instructions_as_published():
    assert len(set(NARRATION_INSTRUCTIONS)) >= 10


def test_last_frames_are_informative_from_the_spans_middle_on():
    (turn,) = streams(narrate(("cat", 3.0, (1.0, 3.0))))
    assert turn == StreamTurn(6, informative=(0, 0, 0, 1, 1, 1))  # frames up to 3.0; ceil(mid)=2.0: 3 frames


def test_same_text_again_is_skipped():
    conversation = narrate(("cat", 1.0, (0.0, 1.0)), ("cat", 2.0, (1.0, 2.0)), ("dog", 3.0, (2.0, 3.0)))
    assert texts(conversation) == ["go", "cat", "dog"]
    assert [turn.frames for turn in streams(conversation)] == [2, 4]


def test_same_frame_time_replaces():
    assert texts(narrate(("cat", 1.6, (1.0, 1.5)), ("dog", 1.9, (1.0, 2.0)))) == ["go", "dog"]


def test_times_are_clipped_to_the_duration():
    conversation = narrate(("late", 9.0, (7.0, 9.0)), clock=Clock(2.0, 7.7))
    assert conversation.frames == 15  # floor(7.7 * 2): no frame the video does not have


times = st.floats(0, 8).map(lambda t: round(t, 2))


@given(st.lists(st.tuples(times, times), max_size=6), st.integers(1, 30))
def test_labels_fill_every_stream_turn(pairs, max_frames):
    items = [(f"text {i}", max(pair), (min(pair), max(pair))) for i, pair in enumerate(pairs)]
    conversation = narrate(*items, max_frames=max_frames)
    assert conversation.frames <= min(max_frames, 16)
    for turn in streams(conversation):
        assert len(turn.informative) == turn.frames > 0
        assert list(turn.informative) == sorted(turn.informative), "speaking is due at a turn's end"
