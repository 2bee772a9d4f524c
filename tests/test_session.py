import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmduet.conversation import StreamTurn, TextTurn, render
from mmduet.errors import DuetError
from mmduet.policy import FrameScores, ScoreSum, ScoreThreshold
from mmduet.session import DuetSession, Interrupted
from mmduet.trace import Query, Response

NEVER = ScoreThreshold(math.inf)


def conversation_of(processor, events, *, keep=True):
    """What was seen and said, as turns."""
    turns = [processor.system_turn()]
    for event in events:
        if isinstance(event, Query):
            turns.append(TextTurn("user", event.text))
        elif isinstance(event, Response):
            turns += [TextTurn("assistant", event.text)] if keep else []
        elif isinstance(turns[-1], StreamTurn):
            turns[-1] = StreamTurn(turns[-1].frames + 1)
        else:
            turns.append(StreamTurn(1))
    return turns


queries = st.lists(st.builds(Query, st.floats(0, 5), st.sampled_from(["hi", "what?", "\n\nhm ", "你好"])), max_size=4)


@settings(max_examples=40, deadline=None)
@given(queries, st.floats(0, 1), st.booleans(), st.integers(1, 6), st.sampled_from(["informative", "relevance"]))
def test_context_is_always_the_training_prompt(queries, threshold, remove, max_new_tokens, head):
    from mmduet.checkpoints import build_tiny

    model, processor = build_tiny()
    session = DuetSession(
        model, processor, policy=ScoreThreshold(threshold, heads=(head,)),
        remove_assistant_turns=remove, max_new_tokens=max_new_tokens,
    )  # fmt: skip
    frames = torch.randint(0, 256, (10, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    events = []
    for event in session.stream(frames, queries):
        events.append(event)
        turns = conversation_of(processor, events, keep=not remove)
        text = render(turns, tokens_per_frame=processor.frame.tokens, close=not session.state.stream_open)
        assert session.state.context == processor.ids(text)
        assert session.state.cache.get_seq_length() == len(session.state.context)


def test_streamed_scores_equal_one_pass_over_the_conversation(tiny, frames):
    model, processor = tiny
    session = DuetSession(model, processor, policy=ScoreThreshold(0.6), max_new_tokens=4)
    trace = session.run(frames, [Query(0.0, "what?"), Query(2.2, "and now?")])
    assert trace.responses, "the threshold should make this model speak"
    ids = torch.tensor([session.state.context])
    with torch.no_grad():
        out = model(ids, pixel_values=processor.pixel_values(frames))
    informative = out.informative_logits.softmax(-1)[:, 1].numpy()
    assert abs(informative - trace.informative).max() < 1e-5


def test_removed_responses_leave_no_trace_in_later_scores(tiny, frames):
    model, processor = tiny
    silent = DuetSession(model, processor, policy=NEVER).run(frames, [Query(0.0, "what?")])
    speaking = DuetSession(
        model, processor, policy=ScoreThreshold(0.6), remove_assistant_turns=True, max_new_tokens=4
    ).run(frames, [Query(0.0, "what?")])
    assert speaking.responses
    assert abs(silent.informative - speaking.informative).max() < 1e-6
    assert silent.context_length == speaking.context_length
    picked = silent.replay(ScoreThreshold(0.6))
    assert [silent.times[i] for i in picked] == [response.time for response in speaking.responses]


def test_live_equals_run(tiny, frames):
    model, processor = tiny
    session = DuetSession(model, processor, policy=ScoreSum(1.4), max_new_tokens=3)
    whole = list(session.stream(frames, [Query(0.0, "what?"), Query(3.0, "and?")]))
    session.reset()
    session.ask("what?")
    live = list(session.feed(frames[:6]))
    assert session.time == 3.0
    session.ask("and?")
    for frame in frames[6:]:
        live += session.feed(frame[None])
    assert [type(event) for event in live] == [type(event) for event in whole]
    assert [e for e in live if isinstance(e, Response)] == [e for e in whole if isinstance(e, Response)]


def test_one_query_a_frame(tiny, frames):
    session = DuetSession(*tiny, policy=NEVER)
    events = list(session.stream(frames[:3], [Query(0.0, "b"), Query(0.0, "c"), Query(0.4, "a"), Query(99, "never")]))
    assert [event.text if isinstance(event, Query) else event.time for event in events] == [
        "b", 0.0, "c", 0.5, "a", 1.0,
    ]  # fmt: skip


def test_repetition_penalty_is_hugging_faces(tiny):
    from transformers import RepetitionPenaltyLogitsProcessor

    session = DuetSession(*tiny, repetition_penalty=1.3)
    session.state.generated = [3, 7, 7]
    logits = torch.randn(259, generator=torch.Generator().manual_seed(0))
    wanted = RepetitionPenaltyLogitsProcessor(1.3)(torch.tensor([[3, 7, 7]]), logits[None].clone())[0]
    assert session._next_token(logits) == int(wanted.argmax())
    torch.testing.assert_close(logits, wanted)


def test_a_response_is_cut_at_max_new_tokens(tiny, frames):
    trace = DuetSession(*tiny, policy=ScoreThreshold(-1), max_new_tokens=3).run(frames)
    assert len(trace.responses) == len(frames)
    assert all(len(response.token_ids) <= 3 for response in trace.responses)


def test_run_starts_afresh(tiny, frames):
    session = DuetSession(*tiny, policy=ScoreSum(1.4), max_new_tokens=3, repetition_penalty=1.2)
    assert session.run(frames).responses == session.run(frames).responses


@pytest.mark.parametrize(
    ("setting", "value"),
    [("frame_fps", 0.0), ("protocol", "nope"), ("repetition_penalty", 0.0), ("max_new_tokens", 0)],
)
def test_settings_are_checked(tiny, setting, value):
    with pytest.raises(DuetError, match=setting):
        DuetSession(*tiny, **{setting: value})


def test_a_query_cannot_end_its_turn(tiny):
    with pytest.raises(DuetError, match="token of the prompt"):
        DuetSession(*tiny).ask("hello<|im_end|>")


def test_negative_query_time_is_refused(tiny, frames):
    with pytest.raises(DuetError, match="0 or later"):
        DuetSession(*tiny).run(frames, [Query(-1.0, "hi")])


def test_no_frames_is_an_empty_trace(tiny):
    trace = DuetSession(*tiny).run(torch.zeros(0, 3, 32, 32, dtype=torch.uint8))
    assert len(trace) == 0
    assert trace.responses == []


def test_scores_are_plain_numbers(tiny, frames):
    event = next(iter(DuetSession(*tiny).stream(frames)))
    assert isinstance(event, FrameScores)
    assert isinstance(event.informative, float)


def test_an_interrupted_response_ends_before_its_next_token(tiny, frames):
    session = DuetSession(*tiny, policy=ScoreThreshold(-1), max_new_tokens=50)
    events = session.feed(frames)
    assert isinstance(next(events), FrameScores)
    session.interrupt()
    with pytest.raises(Interrupted):
        next(events)
    assert not session.state.generated
    session.reset()
    assert len(list(session.feed(frames))) == 2 * len(frames)
