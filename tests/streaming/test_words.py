"""Models that decide in words: the published model's numbers, and look-ahead that changes nothing."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen2_5_VLForConditionalGeneration

from mmduet import DuetTrace, FrameScores, Query, Response, ScoreThreshold, load_duet
from mmduet.checkpoints import build_tiny_words
from mmduet.errors import DuetError
from mmduet.policy import Greedy
from mmduet.streaming.session import DuetSession
from mmduet.trace import UserTurn

CASES = ("two_frames_a_turn", "one_frame_a_turn", "question_in_the_middle", "cut_at_5_tokens")
SIZES = [(28, 28), (56, 28), (28, 84), (40, 61)]


@pytest.fixture(scope="module")
def models():
    """Three different `tiny-words` models."""
    return [build_tiny_words(seed=seed) for seed in range(3)]


def noise(count, size=(56, 56), seed=0):
    return torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def positions_of(session):
    """The position ids that the session's model reads from now on, joined by `torch.cat`."""
    seen, hidden = [], session.kernels.hidden

    def spy(tokens, cache):
        seen[:] = [*_cut(seen, cache.length), tokens.position_ids]
        return hidden(tokens, cache)

    session.kernels.hidden = spy
    return seen


def _cut(parts, length):
    return [torch.cat(parts, 1)[:, :length]] if parts else []


# --- the published model ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def published(request, reference):
    folder = reference / "mmduet2_tiny"
    with np.load(folder / "frames.npz") as file:
        frames = torch.from_numpy(file[file.files[0]])
    expected = json.loads((folder / "expected.json").read_text())
    model, processor = load_duet(folder / "model", dtype="float32", device="cpu", attn_implementation=request.param)
    return model, processor, frames, expected


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("look_ahead", [1, 3, None])
def test_scores_and_words_are_the_published_models(published, name, look_ahead):
    model, processor, frames, expected = published
    case = expected["cases"][name]
    per_turn, interval = case["frames_per_turn"], case["frame_interval"]
    session = DuetSession(
        model, processor, frame_fps=1 / interval, frames_per_turn=per_turn, look_ahead=look_ahead,
        max_new_tokens=case["max_new_tokens"],
    )  # fmt: skip
    positions = positions_of(session)
    queries = [Query(int(turn) * per_turn * interval, text) for turn, text in case["queries"].items()]
    events = list(session.stream(frames, queries))
    scores = [event for event in events if isinstance(event, FrameScores)]
    replies = {event.time: event for event in events if isinstance(event, Response)}
    assert processor.system_prompt == expected["system_prompt"]
    for turn, found in zip(case["turns"], scores, strict=True):
        assert found.time == turn["time"]
        assert found.reply == pytest.approx(turn["score"], abs=1e-5)
        assert found.silence_logprobs == pytest.approx(turn["silence_logprobs"], abs=1e-5)
        assert found.greedy != turn["silent"]
        if not turn["silent"]:
            reply = replies.pop(found.time)
            assert (list(reply.token_ids), reply.text) == (
                [token for token in turn["token_ids"] if token != processor.end_id],
                turn["text"],
            )
    assert not replies
    length = case["turns"][-1]["prompt_length"]
    assert session.state.context[:length] == case["last_prompt_ids"]
    assert torch.cat(positions, 1)[:, :length].tolist() == case["last_position_ids"]


# --- look-ahead changes nothing -----------------------------------------------------------------------


@st.composite
def videos(draw):
    """Frames whose size changes within the video, and queries."""
    counts = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    frames = [noise(count, draw(st.sampled_from(SIZES)), seed) for seed, count in enumerate(counts)]
    end = sum(counts) / 2
    queries = draw(st.lists(st.builds(Query, st.floats(0, end), st.sampled_from(["what?", "And now?"])), max_size=3))
    return frames, queries


def same(first: DuetTrace, second: DuetTrace) -> None:
    assert first.times.tolist() == second.times.tolist()
    np.testing.assert_allclose(first.reply, second.reply, atol=1e-5)
    assert first.greedy.tolist() == second.greedy.tolist()
    assert first.responses == second.responses
    assert first.queries == second.queries
    assert first.context_length == second.context_length


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2),
    video=videos(),
    per_turn=st.integers(1, 3),
    context_frames=st.sampled_from([None, 6, 8]),
    policy=st.one_of(st.just(Greedy()), st.builds(ScoreThreshold, st.floats(0.3, 1))),
    removed=st.booleans(),
)
def test_look_ahead_changes_nothing(models, seed, video, per_turn, context_frames, policy, removed):
    def watch(look_ahead):
        session = DuetSession(
            *models[seed], policy=policy, frames_per_turn=per_turn, max_new_tokens=6, look_ahead=look_ahead,
            context_frames=context_frames, remove_assistant_turns=removed,
        )  # fmt: skip
        return session.run(*video), session.state.context

    first, context = watch(1)
    for look_ahead in (2, 3, 8, 1000):
        trace, again = watch(look_ahead)
        same(first, trace)
        assert again == context


@settings(max_examples=10)
@given(seed=st.integers(0, 2), video=videos(), per_turn=st.integers(1, 3), removed=st.booleans())
def test_scores_are_those_of_one_forward_pass_of_the_stock_model(models, seed, video, per_turn, removed):
    model, processor = models[seed]
    session = DuetSession(
        model, processor, policy=ScoreThreshold(0.7), frames_per_turn=per_turn, max_new_tokens=6,
        remove_assistant_turns=removed,
    )  # fmt: skip
    events = list(session.stream(*video))
    ids = torch.tensor([session.state.context])
    pixels = [processor.pixel_values(batch) for batch in video[0]]
    grids = torch.cat([model._grids(values) for values in pixels])
    with torch.no_grad():
        logits = Qwen2_5_VLForConditionalGeneration.forward(
            model,
            input_ids=ids,
            pixel_values=torch.cat([values.flatten(0, 3) for values in pixels]),
            image_grid_thw=grids,
            mm_token_type_ids=(ids == processor.image_id).int(),
        ).logits[0]
    logprobs = logits.double().log_softmax(-1)
    header = processor.ids(processor.chat.open_turn("assistant"))
    starts = [at for at in range(ids.shape[1]) if ids[0, at : at + len(header)].tolist() == header]
    silence = [*processor.ids(processor.silence), processor.end_id]
    scores = [event for event in events if isinstance(event, FrameScores)]
    for start, found in zip(starts, scores, strict=True):
        first = start + len(header)
        is_silent = ids[0, first : first + len(silence)].tolist() == silence
        places = range(len(silence) if is_silent else 1)  # after a reply only the first token has the same context
        wanted = [float(logprobs[first - 1 + place, silence[place]]) for place in places]
        assert list(found.silence_logprobs[: len(places)]) == pytest.approx(wanted, abs=1e-5)


def test_many_silent_turns_take_one_forward_pass(models):
    session = DuetSession(*models[0], policy=ScoreThreshold(1.0), frames_per_turn=2)
    calls, hidden = [], session.kernels.hidden
    session.kernels.hidden = lambda *given: calls.append(given) or hidden(*given)
    assert len(session.run(noise(24))) == 12
    assert len(calls) == 1


# --- policies -----------------------------------------------------------------------------------------


def test_a_policy_may_speak_where_greedy_decoding_is_silent(models):
    session = DuetSession(*models[1], policy=ScoreThreshold(0.0), frames_per_turn=1, max_new_tokens=5)
    trace = session.run(noise(3))
    assert not trace.greedy.any()
    assert len(trace.responses) == 3
    assert all(reply.token_ids[0] != session.decision.silence[0] for reply in trace.responses if reply.token_ids)


def test_a_policy_may_be_silent_where_greedy_decoding_speaks(models):
    session = DuetSession(*models[0], policy=ScoreThreshold(1.0), frames_per_turn=1)
    trace = session.run(noise(40, (56, 84)), [Query(0, "what?")])
    assert trace.greedy.any()
    assert not trace.responses


def test_greedy_is_the_default_and_replays(models):
    session = DuetSession(*models[0], frames_per_turn=1)
    trace = session.run(noise(40, (56, 84)), [Query(0, "what?")])
    spoken = trace.times[trace.replay(Greedy())].tolist()
    assert spoken == [reply.time for reply in trace.responses] != []
    removed = DuetSession(*models[0], frames_per_turn=1, remove_assistant_turns=True, policy=ScoreThreshold(0.8))
    trace = removed.run(noise(40), [Query(0, "what?")])
    assert trace.times[trace.replay(removed.policy)].tolist() == [reply.time for reply in trace.responses]


def test_a_model_with_heads_has_no_words_of_silence(tiny, frames):
    with pytest.raises(DuetError, match="as those of a model with heads"):
        DuetSession(*tiny, policy=Greedy()).run(frames)
    with pytest.raises(DuetError, match="frames_per_turn=2: a model with heads"):
        DuetSession(*tiny, frames_per_turn=2)
    with pytest.raises(DuetError, match="turns=…: a model with heads"):
        DuetSession(*tiny).run(frames, turns=[UserTurn(12)])


# --- turns --------------------------------------------------------------------------------------------


def test_turns_that_are_fixed_beforehand(models):
    model, processor = models[1]
    session = DuetSession(model, processor, policy=ScoreThreshold(1.0), frame_fps=1.0, max_new_tokens=4)
    turns = [UserTurn(0, "Watch."), UserTurn(3, skip_inference=True), UserTurn(2, "Now?", must_reply=True), UserTurn(1)]
    trace = session.run(noise(6), turns=turns)
    assert trace.times.tolist() == [0.0, 5.0, 6.0]
    assert [(query.time, query.text) for query in trace.queries] == [(0.0, "Watch."), (3.0, "Now?")]
    assert [reply.time for reply in trace.responses] == [5.0]
    text = processor.tokenizer.decode(session.state.context).replace("<|image_pad|>" * 4, "#")
    frame, user, answer = "<|vision_start|>#<|vision_end|>", "<|im_start|>user\n", "<|im_start|>assistant\n"
    assert f"{user}{frame * 3}<|im_end|>\n{user}{frame * 2}Now?<|im_end|>\n{answer}I must reply.\n" in text
    assert text.endswith(f"<|im_end|>\n{user}{frame}<|im_end|>\n{answer}NO REPLY<|im_end|>")


def test_turns_that_have_more_frames_than_the_video_are_refused(models):
    with pytest.raises(DuetError, match="have 3 frames, and the video has 1 left"):
        DuetSession(*models[0], policy=ScoreThreshold(1.0)).run(noise(3), turns=[UserTurn(2), UserTurn(3)])


def test_the_last_turn_may_have_fewer_frames(models):
    trace = DuetSession(*models[0], policy=ScoreThreshold(1.0), frame_fps=1.0, frames_per_turn=2).run(noise(5))
    assert trace.times.tolist() == [2.0, 4.0, 5.0]


def test_live_frames_and_questions_give_the_trace_of_a_whole_video(models):
    frames = noise(9)
    make = lambda: DuetSession(*models[0], frame_fps=1.0, frames_per_turn=2, max_new_tokens=4)  # noqa: E731
    live, events = make(), []
    for first, last in pairwise((0, 1, 3, 4, 8, 9)):
        if first == 4:
            events.append(live.ask("what?"))
        events += [event for event in live.feed(frames[first:last]) if not isinstance(event, Query)]
    whole = list(make().stream(frames, [Query(4.0, "what?")]))
    wanted = [event for event in whole if getattr(event, "time", 0) < 9 and not isinstance(event, Query)]
    found = [event for event in events if not isinstance(event, Query)]
    assert [type(event) for event in found] == [type(event) for event in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.time == other.time
        if isinstance(one, FrameScores):
            assert one.reply == pytest.approx(other.reply, abs=1e-5)


def test_a_question_asked_between_two_answers_enters_the_next_turn(models):
    session = DuetSession(*models[0], policy=ScoreThreshold(1.0), frame_fps=1.0, frames_per_turn=1)
    events = []
    for event in session.stream(noise(6)):
        if event.time == 3.0 and isinstance(event, FrameScores):
            session.ask("what?")
        events.append(event)
    again = session.fresh().run(noise(6), [Query(3.0, "what?")])
    same(DuetTrace.from_events(events, len(session.state.context)), again)


def test_a_question_may_not_hold_a_token_of_the_prompt(models):
    with pytest.raises(DuetError, match=r"<\|image_pad\|>"):
        DuetSession(*models[0]).ask("what is <|image_pad|>?")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"frames_per_turn": 0}, "at least one frame"),
        ({"frames_per_turn": 4, "context_frames": 7}, "give at least 8"),
    ],
)
def test_settings_that_cannot_be_kept_are_refused(models, given, message):
    with pytest.raises(DuetError, match=message):
        DuetSession(*models[0], **given)
