import functools
import math
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmduet.checkpoints import build_tiny, build_tiny_words
from mmduet.errors import DuetError
from mmduet.model.prompt import StreamTurn, TextTurn
from mmduet.policy import FrameScores, ScoreSum, ScoreThreshold, make_policy
from mmduet.profiling.performance import EveryNth
from mmduet.streaming import generation
from mmduet.streaming.protocol import PROTOCOLS
from mmduet.streaming.session import DuetSession, Interrupted
from mmduet.trace import DuetTrace, Query, Response
from mmduet.video import FrameBatch

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


@settings(max_examples=40)
@given(queries, st.floats(0, 1), st.booleans(), st.integers(1, 6), st.sampled_from(["informative", "relevance"]))
def test_context_is_always_the_training_prompt(queries, threshold, remove, max_new_tokens, head):
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
        text = processor.render(turns, close=not session.state.stream_open)
        assert session.state.context == processor.ids(text)


@settings(max_examples=40, deadline=None)
@given(queries, st.integers(0, 5), st.sampled_from([1.0, 2.0, 30.0]), st.booleans())
def test_each_query_is_asked_or_named_in_a_warning(queries, count, fps, in_words):
    model, processor = build_tiny_words() if in_words else build_tiny()
    session = DuetSession(model, processor, policy=NEVER, frame_fps=fps, max_new_tokens=1)
    frames = torch.zeros((count, 3, 32, 32), dtype=torch.uint8)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trace = session.run(frames, queries)
    late = sorted(queries, key=lambda query: query.time)[len(trace.queries) :]
    end = f"the last frame watched was at {(count - 1) / fps:.4g} s" if count else "there was no frame"
    assert [str(each.message) for each in caught] == [
        f"{query.text!r} at {query.time:g} s was not asked: {end}." for query in late
    ]
    assert all(each.filename == __file__ for each in caught), "of the call"


def random_frames(seed, count=14):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)


small_model = functools.cache(lambda seed: build_tiny(seed=seed))


def assert_same(trace, wanted):
    """The scores to 1e-5, all else exactly."""
    for name in ("responses", "queries", "context_length"):
        assert getattr(trace, name) == getattr(wanted, name)
    assert trace.times.tolist() == wanted.times.tolist()
    for head in ("informative", "relevance"):
        assert abs(getattr(trace, head) - getattr(wanted, head)).max() < 1e-5


@settings(max_examples=25)
@given(
    st.integers(0, 3), st.integers(0, 5), queries, st.sampled_from(["threshold", "sum"]), st.floats(0.3, 3),
    st.sampled_from(sorted(PROTOCOLS)), st.booleans(), st.sampled_from([None, 1.3]), st.sampled_from([None, 5]),
)  # fmt: skip
def test_any_look_ahead_gives_the_same_trace(
    seed, video, queries, mode, threshold, protocol, remove, penalty, context_frames
):
    frames, traces = random_frames(video), []
    for look_ahead in (1, 2, 3, 8, len(frames), None):
        session = DuetSession(
            *small_model(seed), policy=make_policy(mode, threshold, heads=("informative", "relevance")),
            protocol=protocol, remove_assistant_turns=remove, repetition_penalty=penalty, max_new_tokens=3,
            look_ahead=look_ahead, context_frames=context_frames,
        )  # fmt: skip
        traces.append(session.run(frames, queries))
    for trace in traces[1:]:
        assert_same(trace, traces[0])


@pytest.mark.parametrize("remove", [False, True])
def test_a_policy_is_asked_once_a_frame_in_order(tiny, frames, remove):
    session = DuetSession(*tiny, policy=EveryNth(3), remove_assistant_turns=remove, max_new_tokens=2)
    trace = session.run(frames)
    assert [response.time for response in trace.responses] == trace.times[2::3].tolist()


def test_one_forward_for_many_frames(tiny, frames, monkeypatch):
    model, processor = tiny
    calls, hidden_states = [], model.hidden_states
    monkeypatch.setattr(model, "hidden_states", lambda x, **kwargs: calls.append(x) or hidden_states(x, **kwargs))
    DuetSession(model, processor, policy=NEVER).run(frames)
    assert len(calls) == 1
    calls.clear()
    DuetSession(model, processor, policy=NEVER, look_ahead=1).run(frames)
    assert len(calls) == len(frames)


def test_a_question_in_the_middle_of_a_look_ahead_enters_at_once(tiny, frames):
    """And frames that come after the caller left in the middle follow what was seen, not what was looked ahead at."""
    traces = []
    for look_ahead in (1, None):
        session = DuetSession(*tiny, policy=ScoreThreshold(0.6), max_new_tokens=3, look_ahead=look_ahead)
        events = []
        for event in session.feed(frames):
            events.append(event)
            if isinstance(event, FrameScores) and event.time == 2.0:
                session.ask("what now?")
            if isinstance(event, FrameScores) and event.time == 3.0:
                break
        events += session.feed(frames[:5])
        traces.append(DuetTrace.from_events(events, len(session.state.context)))
    assert [query.time for query in traces[0].queries] == [2.5]
    assert_same(traces[1], traces[0])


@settings(max_examples=20)
@given(queries, st.floats(0.3, 0.9), st.booleans(), st.integers(2, 9), st.integers(0, 3))
def test_a_full_context_begins_anew_with_what_is_kept(queries, threshold, remove, context_frames, video):
    """Each score is that of one pass over the conversation of the kept turns."""
    model, processor = small_model(0)
    frames = random_frames(video, 24)
    session = DuetSession(
        model, processor, policy=ScoreThreshold(threshold), remove_assistant_turns=remove, max_new_tokens=3,
        context_frames=context_frames,
    )  # fmt: skip
    events, seen = [], 0
    for event in session.stream(frames, queries):
        if isinstance(event, FrameScores) and sum(isinstance(kept, FrameScores) for kept in events) == context_frames:
            events = last_turns(events, context_frames // 2)
        if not (remove and isinstance(event, Response)):
            events.append(event)
        if isinstance(event, FrameScores):
            seen += 1
            held = sum(isinstance(kept, FrameScores) for kept in events)
            text = processor.render(conversation_of(processor, events), close=False)
            ids = processor.ids(text)
            assert session.state.context == ids
            with torch.no_grad():
                pixel_values = processor.pixel_values(frames[seen - held : seen])
                out = model(torch.tensor([ids]), pixel_values=pixel_values)
            assert abs(out.informative_logits.softmax(-1)[-1, 1].item() - event.informative) < 1e-5
    assert session.state.cache.length <= len(session.state.context)


def last_turns(events, frames):
    """The last frames, all since the first of them, and the question before it."""
    start = [place for place, event in enumerate(events) if isinstance(event, FrameScores)][-frames]
    return [event for event in events[:start] if isinstance(event, Query)][-1:] + events[start:]


def test_a_full_context_begins_anew_upstream(tiny, frames):
    """As a fresh session would, shown the question and the frames that are left."""
    query, fps = Query(0.0, "what?"), 2.0
    session = DuetSession(*tiny, policy=NEVER, protocol="upstream", context_frames=6)
    trace = session.run(frames, [query])
    for index in (6, 8, 9, 11):
        first = 3 * ((index - 3) // 3)
        fresh = DuetSession(*tiny, policy=NEVER, protocol="upstream", frame_fps=fps).run(
            frames[first : index + 1], [query]
        )
        assert fresh.relevance[-1] == pytest.approx(trace.relevance[index], abs=1e-5)


def test_lost_frames_move_the_clock(tiny, frames):
    session = DuetSession(*tiny, policy=NEVER)
    batches = [FrameBatch(np.array([0.0, 0.5]), frames[:2]), FrameBatch(np.array([3.0, 3.5]), frames[2:4])]
    events = list(session.stream(batches, [Query(1.0, "what?")]))
    assert [event.time for event in events if isinstance(event, FrameScores)] == [0.0, 0.5, 3.0, 3.5]
    assert isinstance(events[2], Query)


def sampled(frames, fps, size):
    return [
        FrameBatch(np.arange(at, min(at + size, len(frames))) / fps, frames[at : at + size])
        for at in range(0, len(frames), size)
    ]


@settings(max_examples=30)
@given(st.sampled_from([0.5, 1, 2, 3, 29.97]), st.sampled_from([0.5, 1, 2, 3, 29.97]), st.integers(1, 14))
def test_a_frame_has_its_own_time_or_is_refused(fps, frame_fps, size):
    """A session with another rate would count other times."""
    session = DuetSession(*small_model(0), policy=NEVER, frame_fps=frame_fps)
    trace, refused = None, ""
    try:
        trace = session.run(sampled(random_frames(0), fps, size))
    except DuetError as error:
        refused = str(error)
    if trace is None:
        assert fps != frame_fps
        assert f"at fps={frame_fps:g}" in refused
    else:
        assert abs(trace.times - np.arange(14) / fps).max() <= (0 if fps == frame_fps else 1.5) / frame_fps


def test_a_sample_is_taken_as_it_is(tiny, frames):
    trace = DuetSession(*tiny, policy=NEVER).run(FrameBatch(np.arange(12) / 2, frames))
    assert trace == DuetSession(*tiny, policy=NEVER).run(frames)


def begun(session, frames):
    """An iteration in the middle of a video."""
    events = session.stream(frames, [Query(0.0, "a")])
    next(events), next(events)
    return events


@pytest.mark.parametrize("then", ["stream", "feed", "run", "reset"])
def test_an_earlier_iteration_ends_where_another_begins(tiny, frames, then):
    session = DuetSession(*tiny, policy=EveryNth(2), max_new_tokens=2)
    alone = session.run(frames[:5], [Query(0.0, "b")])
    earlier = begun(session, frames)
    if then == "stream":
        other = session.stream(frames[:5], [Query(0.0, "b")])
        events = [next(other)]
    else:
        session.reset()
        if then != "reset":
            {"feed": lambda: next(session.feed(frames)), "run": lambda: session.run(frames)}[then]()
        other, events = session.stream(frames[:5], [Query(0.0, "b")]), []
    with pytest.raises(DuetError, match="has begun another video"):
        next(earlier)
    assert DuetTrace.from_events([*events, *other], len(session.state.context)) == alone
    assert list(earlier) == [], "it is at its end"


def test_a_second_thread_is_refused_while_the_first_computes(tiny, frames):
    session = DuetSession(*tiny, policy=NEVER)
    alone, refused = session.run(frames), []

    def others():
        """The first thread is inside the session while it takes its frames."""
        for use in (lambda: session.run(frames), session.reset, lambda: list(session.feed(frames))):
            with ThreadPoolExecutor(1) as pool, pytest.raises(DuetError, match="in use by another thread"):
                pool.submit(use).result()
            refused.append(use)
        assert len(session.fresh().run(frames)) == len(frames)
        yield frames

    assert session.run(others()) == alone
    assert len(refused) == 3


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
        model, processor, policy=ScoreThreshold(0.6), remove_assistant_turns=True, max_new_tokens=4, look_ahead=5
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


@settings(max_examples=30)
@given(st.integers(0, 3), st.integers(0, 3), st.booleans(), st.sampled_from([None, 1.5]))
def test_what_is_guessed_never_changes_what_is_said(seed, video, remove, penalty):
    model, processor = small_model(seed)
    traces = []
    for guess in (lambda before, said: [], lambda before, said: [5, 1, 200], generation.draft):
        session = DuetSession(
            model, processor, policy=EveryNth(3), remove_assistant_turns=remove, repetition_penalty=penalty,
            max_new_tokens=6,
        )  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mmduet.streaming.generation.draft", guess)
            traces.append(session.run(random_frames(video)))
    assert traces[0].responses
    for trace in traces[1:]:
        assert_same(trace, traces[0])


def test_a_repeated_response_takes_one_forward(tiny, frames, monkeypatch):
    model, processor = tiny
    session = DuetSession(model, processor, policy=EveryNth(1), remove_assistant_turns=True, max_new_tokens=8)
    _, again = session.run(frames[:1].repeat(2, 1, 1, 1)).responses
    session.reset()
    list(session.feed(frames[:1]))
    session.state.previous_response = list(again.token_ids)
    calls, hidden_states = [], model.hidden_states
    monkeypatch.setattr(model, "hidden_states", lambda x, **kwargs: calls.append(x) or hidden_states(x, **kwargs))
    said = next(event for event in session.feed(frames[:1]) if isinstance(event, Response))
    assert said.token_ids == again.token_ids
    assert len(calls) == 2, "the frame, and the response"


def test_a_response_is_cut_at_max_new_tokens(tiny, frames):
    trace = DuetSession(*tiny, policy=ScoreThreshold(-1), max_new_tokens=3).run(frames)
    assert len(trace.responses) == len(frames)
    assert all(len(response.token_ids) <= 3 for response in trace.responses)


def test_run_starts_afresh(tiny, frames):
    session = DuetSession(*tiny, policy=ScoreSum(1.4), max_new_tokens=3, repetition_penalty=1.2)
    assert session.run(frames).responses == session.run(frames).responses


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("What?", "'What\\?' is no query: give Query"), (Query("what?", 0.0), "is no query: give Query"),
        (Query(0.0, " "), "is empty"),
    ],
)  # fmt: skip
def test_what_is_no_query_is_refused(tiny, frames, query, message):
    with pytest.raises(DuetError, match=message):
        DuetSession(*tiny).run(frames, [query])


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("frame_fps", 0.0),
        ("protocol", "nope"),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", math.inf),
        ("max_new_tokens", 0),
        ("look_ahead", 0),
        ("context_frames", 1),
        ("context_frames", math.nan),
    ],
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


def test_a_fresh_session_shares_nothing_of_what_was_seen(tiny, frames):
    session = DuetSession(*tiny, policy=ScoreSum(1.2), frame_fps=4, remove_assistant_turns=True, max_new_tokens=3)
    trace = session.run(frames, [Query(0.0, "what?")])
    context, total = list(session.state.context), session.policy.total
    other = session.fresh()
    assert (other.state.context, other.policy.total, other.model) == ([], 0.0, session.model)
    again = other.run(frames, [Query(0.0, "what?")])
    assert again.responses == trace.responses
    other.run(frames[:3])
    assert (session.state.context, session.policy.total) == (context, total)


def test_a_full_device_is_one_sentence(tiny, frames, monkeypatch):
    session = DuetSession(*tiny, policy=NEVER)

    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(session.kernels, "hidden", full)
    with pytest.raises(DuetError, match=r"out of memory .*2\.00 GiB.*context_frames"):
        session.run(frames)
    monkeypatch.undo()
    session.reset()
    assert len(session.run(frames)) == len(frames)
