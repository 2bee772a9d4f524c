"""Graphs over a backend that runs the recorded work again: the logic of a GPU's, without one."""

import functools
from copy import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, MistralConfig, Qwen2Config

from mmduet.checkpoints import build_tiny
from mmduet.kernels import cuda, graphs
from mmduet.kernels.cuda import CudaKernels, can_be_recorded
from mmduet.kernels.graphs import SIZES, Graphs
from mmduet.model.backbone import EmbeddedTokens
from mmduet.policy import make_policy
from mmduet.profiling.performance import EveryNth
from mmduet.streaming import session as session_module
from mmduet.streaming.protocol import PROTOCOLS
from mmduet.streaming.session import DuetSession, Interrupted
from mmduet.trace import Query

tiny = functools.cache(build_tiny)


@pytest.fixture(scope="module", autouse=True)
def little_room():
    """Small buffers: attention to all of them is plain torch's here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, "FIRST_ROOM", 64)
        yield


class Recordings:
    """A backend that runs the recorded work again, and counts."""

    def __init__(self):
        self.made = self.launched = 0

    def __call__(self, work):
        result = work().clone()
        self.made += 1

        def launch():
            self.launched += 1
            result.copy_(work())

        return launch, result


def session_with(recordings, **settings):
    """A session whose forwards go the way they go on a GPU. recordings None: without graphs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_module, "kernels_for", lambda *pair, **_: CudaKernels(*pair, record=recordings))
        return DuetSession(*tiny(), **settings)


def assert_same(found, wanted):
    assert (found.responses, found.queries, found.context_length) == (
        wanted.responses,
        wanted.queries,
        wanted.context_length,
    )
    for head in ("informative", "relevance"):
        assert abs(getattr(found, head) - getattr(wanted, head)).max() < 1e-5


queries = st.lists(st.builds(Query, st.floats(0, 6), st.sampled_from(["hi", "what happens now?", "你好"])), max_size=3)


@settings(max_examples=15)
@given(
    st.integers(0, 3), queries, st.sampled_from(["threshold", "sum"]), st.floats(0.3, 3),
    st.sampled_from(sorted(PROTOCOLS)), st.booleans(), st.sampled_from([None, 1.3]), st.sampled_from([None, 5]),
    st.sampled_from([None, 1, 3]),
)  # fmt: skip
def test_a_trace_is_that_without_graphs(
    seed, queries, mode, threshold, protocol, remove, penalty, context_frames, look_ahead
):
    frames = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    fields = {
        "policy": make_policy(mode, threshold, heads=("informative", "relevance")), "protocol": protocol,
        "remove_assistant_turns": remove, "repetition_penalty": penalty, "max_new_tokens": 4,
        "look_ahead": look_ahead, "context_frames": context_frames,
    }  # fmt: skip
    wanted = DuetSession(*tiny(), **fields).run(frames, queries)
    recordings = Recordings()
    session = session_with(recordings, **fields)
    for _ in range(2):  # the second video finds the first one's graphs and buffers
        assert_same(session.run(frames, queries), wanted)
    assert recordings.launched or look_ahead != 1
    assert_same(session_with(None, **fields).run(frames, queries), wanted)


def watch(session, frames):
    session.reset()
    for frame in frames:
        list(session.feed(frame[None]))


def test_each_size_is_recorded_once_whatever_the_stream_is_like(frames):
    recordings = Recordings()
    session = session_with(recordings, policy=EveryNth(3), max_new_tokens=5)
    pictures = frames[..., :32, :32]
    watch(session, pictures)
    assert recordings.launched > len(frames)
    watch(session, pictures)  # in the buffers as large as they became
    made = recordings.made
    watch(session, pictures)
    assert recordings.made == made
    assert 0 < len(session.kernels.graphs.replays) <= len(SIZES)


def test_graphs_are_recorded_anew_when_buffers_or_weights_have_moved(frames):
    recordings = Recordings()
    session = session_with(recordings, policy=EveryNth(0))
    pictures = frames[..., :32, :32]
    watch(session, pictures)
    room, made = session.state.cache.capacity, recordings.made
    watch(session, pictures.repeat(1 + room // 48, 1, 1, 1))
    assert session.state.cache.capacity == 2 * room
    assert recordings.made == made + 1
    watch(session, pictures)
    assert recordings.made == made + 1
    norm = session.model.language_model.base_model.norm
    norm.weight.data = norm.weight.data.clone()
    session.reset()
    assert not session.kernels.graphs.replays
    assert session.kernels.live is None


def test_a_forgotten_video_leaves_nothing_behind(frames):
    session = session_with(Recordings(), policy=EveryNth(0))
    watch(session, frames[..., :32, :32])
    with torch.inference_mode():
        for buffer in session.state.cache.buffers(0):
            buffer.fill_(torch.nan)
    session.reset()
    trace, wanted = (some.run(frames) for some in (session, DuetSession(*tiny(), policy=EveryNth(0))))
    assert trace.informative.tolist() == pytest.approx(wanted.informative.tolist(), abs=1e-5)


def test_another_session_has_buffers_of_its_own(frames):
    session = session_with(Recordings(), policy=EveryNth(0))
    first = session.run(frames)
    other = session.fresh()
    other.run(frames[:5])
    assert other.state.cache is not session.state.cache
    watched = [event for event in session.feed(frames)]
    assert len(watched) == len(first)


SMALL = {
    "vocab_size": 32, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "recorded"),
    [
        (LlamaConfig(**SMALL), True),
        (Qwen2Config(**SMALL), True),
        (MistralConfig(**SMALL, sliding_window=8), False),
        (MistralConfig(**SMALL, sliding_window=None), True),
        (Qwen2Config(**SMALL, use_sliding_window=True, sliding_window=8, max_window_layers=0), False),
        (Gemma3TextConfig(**SMALL, head_dim=8), False),
        (LlamaConfig(**SMALL, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}), False),
    ],
)
def test_what_attends_otherwise_is_not_recorded(config, recorded):
    model = torch.nn.Module()
    model.position_axes = 0
    model.language_model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    model.language_model.config._attn_implementation = cuda.NAME
    assert can_be_recorded(model) is recorded
    model.language_model.config._attn_implementation = "eager"
    assert can_be_recorded(model) is False


def test_positions_of_ones_own_are_not_recorded():
    model, _ = build_tiny()
    model.position_axes = 3
    assert can_be_recorded(model) is False


@pytest.mark.parametrize("length", [1, 2, 9, 40])
def test_a_response_is_continued_by_the_device(frames, length):
    """And the stream goes on as if no step had been launched in vain."""
    fields = {"policy": EveryNth(5), "max_new_tokens": length, "look_ahead": 1}
    wanted = DuetSession(*tiny(), **fields).run(frames)
    recordings = Recordings()
    session = session_with(recordings, **fields)
    launched, _next = [], session.kernels.graphs._next
    session.kernels.graphs._next = lambda cache: launched.append(cache.length) or _next(cache)
    assert_same(session.run(frames), wanted)
    assert bool(launched) == (length > 1)
    assert session.state.cache.length == len(session.state.context)


def test_an_interrupted_response_is_not_continued(frames):
    session = session_with(Recordings(), policy=EveryNth(1), max_new_tokens=200)
    session.processor = copy(session.processor)
    session.processor.end_id = -2
    graphs, _next = session.kernels.graphs, session.kernels.graphs._next
    graphs._next = lambda cache: session.interrupt() or _next(cache)
    with pytest.raises(Interrupted):
        session.run(frames)


def test_a_model_on_several_devices_is_not_recorded():
    model, processor = build_tiny()
    assert CudaKernels(model, processor, record=Recordings()).graphs
    model.informative_head.to("meta")
    kernels = CudaKernels(model, processor, record=Recordings())
    assert kernels.graphs is None
    assert kernels.record is None


def test_many_tokens_go_without_a_graph(frames):
    recordings = Recordings()
    model, processor = tiny()
    kernels = CudaKernels(model, processor, record=recordings)
    assert isinstance(kernels.graphs, Graphs)
    cache = kernels.cache()
    size = model.config.text_config.hidden_size
    for tokens in (40, SIZES[-1] + 1):
        kernels.hidden(EmbeddedTokens(torch.zeros(tokens, size)), cache)
    assert recordings.made == 0
    kernels.hidden(EmbeddedTokens(torch.zeros(3, size)), cache)
    assert recordings.made == 1
    assert cache.length == 40 + SIZES[-1] + 1 + 3
