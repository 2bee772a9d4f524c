"""On a GPU: what the CPU gives. Skipped without one."""

import gc
import itertools

import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaConfig

from mmduet.checkpoints import build_tiny
from mmduet.kernels import cuda
from mmduet.kernels.attention import FULL, split_attention
from mmduet.kernels.fixed import FixedContext, pieces_for
from mmduet.kernels.graphs import SIZES
from mmduet.kernels.kv_cache import StreamCache
from mmduet.policy import ScoreThreshold
from mmduet.profiling.performance import EveryNth
from mmduet.streaming.session import DuetSession
from mmduet.trace import Query
from mmduet.video import iter_frames
from tests.clips import write_clip

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture(scope="module")
def gpu():
    """(model, processor) of `tiny`, on the GPU; not to be changed."""
    model, processor = build_tiny()
    return model.cuda(), processor


def pictures(count, seed=0):
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


SETTINGS = list(itertools.product([1, 3, None], ["training", "upstream"], [False, True], [None, 6], [None, 1.3]))


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize(("look_ahead", "protocol", "remove", "context_frames", "penalty"), SETTINGS)
def test_a_trace_is_the_cpus(tiny, gpu, monkeypatch, graphs, look_ahead, protocol, remove, context_frames, penalty):
    frames, queries = pictures(30), [Query(0.0, "What happens?"), Query(6.2, "and now?")]
    fields = {
        "protocol": protocol, "remove_assistant_turns": remove, "context_frames": context_frames,
        "repetition_penalty": penalty, "max_new_tokens": 5,
    }  # fmt: skip
    wanted = DuetSession(*tiny, policy=ScoreThreshold(0.6), **fields).run(frames, queries)
    assert wanted.responses
    session = DuetSession(*gpu, policy=ScoreThreshold(0.6), look_ahead=look_ahead, **fields)
    if not graphs:
        session.kernels = cuda.CudaKernels(*gpu, record=None)
    for _ in range(2):
        found = session.run(frames, queries)
        assert (found.responses, found.queries) == (wanted.responses, wanted.queries)
        for head in ("informative", "relevance"):
            assert abs(getattr(found, head) - getattr(wanted, head)).max() < 1e-5
    assert bool(session.kernels.graphs and session.kernels.graphs.replays) == graphs or look_ahead != 1


@pytest.mark.parametrize("new", [1, 5, 49, 128])
@pytest.mark.parametrize("old", [40, 1000, 9000])
def test_attention_in_pieces_is_as_exact_as_bfloat16(new, old):
    generator = torch.Generator("cuda").manual_seed(0)
    draw = lambda heads, tokens: torch.randn(1, heads, tokens, 128, generator=generator, device="cuda")  # noqa: E731
    query, keys, values = draw(28, new), draw(4, old + new), draw(4, old + new)
    mask = torch.ones(new, old + new, dtype=torch.bool, device="cuda").tril(old)
    wanted = F.scaled_dot_product_attention(query.double(), keys.double(), values.double(), mask, enable_gqa=True)
    query, keys, values = query.bfloat16(), keys.bfloat16(), values.bfloat16()
    cache = StreamCache(LlamaConfig(num_hidden_layers=1))
    cache.update(keys[:, :, :old], values[:, :, :old], 0)
    cache.reserve(16384)
    pieces = pieces_for(query.device, query.dtype, heads=28, shared=4, size=128, new=new)
    assert pieces > 1
    context = FixedContext(cache, torch.tensor([old], device="cuda"), new, heads=28, pieces=pieces)
    found = context.attend(0, query, keys[:, :, old:], values[:, :, old:], None)
    module = torch.nn.Module()
    module.num_key_value_groups = 7
    whole, _ = split_attention(module, query, keys, values, None)
    for one in (found, whole):
        error = (one.transpose(1, 2).double() - wanted).norm() / wanted.norm()
        assert error < 1e-2


@pytest.mark.parametrize("old", [100, 9800])
def test_many_tokens_attend_as_exactly_as_bfloat16(old):
    new = FULL + 100
    generator = torch.Generator("cuda").manual_seed(1)
    draw = lambda heads, tokens: torch.randn(1, heads, tokens, 128, generator=generator, device="cuda")  # noqa: E731
    query, keys, values = draw(28, new), 3 * draw(4, old + new), draw(4, old + new)
    mask = torch.ones(new, old + new, dtype=torch.bool, device="cuda").tril(old)
    query, keys, values = query.bfloat16(), keys.bfloat16(), values.bfloat16()
    wanted = F.scaled_dot_product_attention(query.float(), keys.float(), values.float(), mask, enable_gqa=True)
    with torch.inference_mode():
        found, _ = split_attention(torch.nn.Module(), query, keys, values, None)
    assert (found.transpose(1, 2).float() - wanted).norm() / wanted.norm() < 1e-2


def test_many_frames_at_once_over_a_long_context(tiny, gpu):
    """In float32, which no flash kernel takes."""
    frames = pictures(1400)
    found, wanted = (DuetSession(*pair, policy=EveryNth(0)).run(frames) for pair in (gpu, tiny))
    assert abs(found.informative - wanted.informative).max() < 1e-5


def test_frames_are_decoded_and_pinned_beside_the_model(gpu, tiny, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", frames=100)
    session = DuetSession(*gpu, policy=EveryNth(0))
    reading = iter_frames(
        clip, fps=4, size=32, batch_size=3, ahead=session.kernels.decode_ahead, pin=session.kernels.pin
    )
    wanted = DuetSession(*tiny, policy=EveryNth(0)).run(iter_frames(clip, fps=4, size=32))
    assert abs(session.run(reading).informative - wanted.informative).max() < 1e-5


def test_a_long_stream_takes_no_more_memory(gpu):
    session = DuetSession(*gpu, policy=EveryNth(7), max_new_tokens=6, context_frames=40)
    frames = pictures(200)

    def watch():
        for frame in frames:
            list(session.feed(frame[None]))
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated(), torch.cuda.memory_reserved()

    watch()
    allocated, reserved = watch()
    for _ in range(5):
        now, held = watch()
        assert now - allocated < 2**20  # more or fewer turns are kept
        assert held <= reserved
    assert len(session.kernels.graphs.replays) <= len(SIZES)


def test_graphs_leave_with_the_session():
    model, processor = build_tiny()
    model = model.cuda()

    def watch():
        session = DuetSession(model, processor, policy=EveryNth(0), look_ahead=1)
        session.run(pictures(8))
        assert session.kernels.graphs.replays
        return torch.cuda.memory_allocated()

    watch()  # libraries take their memory at first use
    gc.collect()
    before = torch.cuda.memory_allocated()
    assert watch() > before
    gc.collect()
    assert torch.cuda.memory_allocated() - before < 2**20
