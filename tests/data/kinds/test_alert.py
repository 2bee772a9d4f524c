"""Labels of alerts, by hand."""

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.data.conversations import Clock
from mmduet.data.kinds import ALERT
from mmduet.data.kinds.alert import ALERT_TEMPLATES, AlertItem, alert_conversation
from mmduet.errors import AnnotationError
from mmduet.model.prompt import StreamTurn, TextTurn

CLOCK = Clock(fps=2.0, duration=6.0)


def converse(spans, *, max_frames=128, clock=CLOCK):
    item = AlertItem(video_uid="v", query="a dog", timestamps=spans, reply="There is a dog.")
    return alert_conversation(item, clock, template="Tell me when there is {query}.", max_frames=max_frames)


def labels(conversation):
    """Informative and relevance labels of all frames, and after how many frames each reply comes."""
    informative, relevance, replies = [], [], []
    for turn in conversation.turns[1:]:
        if isinstance(turn, StreamTurn):
            informative += turn.informative
            relevance += turn.relevance
        else:
            replies.append(len(informative))
    return informative, relevance, replies


def test_relevant_in_the_span_and_time_to_speak_at_its_second_and_third_frame():
    conversation = converse([(2.0, 5.0)])
    assert conversation.turns[0] == TextTurn("user", "Tell me when there is a dog.")
    assert conversation.turns[2] == TextTurn("assistant", "There is a dog.")
    informative, relevance, replies = labels(conversation)
    assert informative == [0] * 5 + [1, 1] + [0] * 5
    assert relevance == [0] * 4 + [1] * 6 + [0] * 2
    assert replies == [7], "after the third frame of the span"


def test_what_never_comes_is_waited_for_in_silence():
    informative, relevance, replies = labels(converse([]))
    assert (informative, relevance, replies) == ([0] * 12, [0] * 12, [])


def test_a_span_of_one_frame_is_told_at_that_frame():
    assert labels(converse([(1.0, 1.5)])) == ([0, 0, 1] + [0] * 9, [0, 0, 1] + [0] * 9, [3])


def test_a_span_that_max_frames_cuts_off_before_it_is_told_is_told_at_the_last_frame():
    informative, relevance, replies = labels(converse([(2.0, 5.0)], max_frames=5))
    assert (informative, relevance, replies) == ([0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [5])


spans = st.lists(st.tuples(st.floats(0, 8), st.floats(0, 4)).map(lambda pair: (pair[0], sum(pair))), max_size=4)


@given(spans, st.integers(1, 14))
def test_every_frame_has_both_labels_and_speaks_only_where_it_is_relevant(spans, most):
    conversation = converse(spans, max_frames=most)
    informative, relevance, replies = labels(conversation)
    assert len(informative) == len(relevance) == conversation.frames == min(12, most)
    assert all(relevance[frame] for frame, label in enumerate(informative) if label)
    assert all(informative[frame - 1] for frame in replies), "a reply follows a frame at which it is time to speak"


@pytest.mark.parametrize(
    ("change", "named"), [({"reply": None}, "reply"), ({"timestamps": [[3, 1]]}, "timestamps"), ({"query": 5}, "query")]
)
def test_a_damaged_entry_is_named(tmp_path, change, named):
    entry = {"video_uid": "v.mp4", "query": "a dog", "timestamps": [[1, 3]], "reply": "A dog."}
    (tmp_path / "alert.json").write_text(json.dumps([{**entry, **change}]))
    with pytest.raises(AnnotationError, match=f"alert entry .*{named}"):
        ALERT.read(tmp_path / "alert.json")


def test_a_template_is_drawn():
    item = AlertItem(video_uid="v", query="a dog", timestamps=[], reply="A dog.")
    texts = {
        ALERT.conversation(item, CLOCK, rng=Random(n), templates=ALERT_TEMPLATES, max_frames=9).turns[0].text
        for n in range(40)
    }
    assert len(texts) > 5
    assert all("a dog" in text for text in texts)
