import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, DynamicCache, LlamaConfig, MistralConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from mmduet.checkpoints import build_tiny
from mmduet.errors import CheckpointError
from mmduet.kernels import attention
from mmduet.kernels.attention import FEWEST, NAME, split_attention, use_split_attention
from mmduet.kernels.kv_cache import StreamCache
from mmduet.profiling.performance import EveryNth
from mmduet.profiling.published_loop import PublishedLoop
from mmduet.streaming.session import DuetSession

SIZES = {
    "vocab_size": 32, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip


def numbers(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + shape[-2]))


@given(st.integers(2, 300), st.integers(1, 300), st.sampled_from([1, 2, 6]), st.floats(0.1, 20))
def test_it_is_causal_attention(new, old, key_heads, scaling):
    query = numbers(1, 6, new, 8)
    key, value = (numbers(n, key_heads, old + new, 8)[:1] for n in (2, 3))
    mask = torch.ones(new, old + new, dtype=torch.bool).tril(old)[None, None]
    groups = torch.nn.Module()
    groups.num_key_value_groups = 6 // key_heads
    found, _ = split_attention(groups, query, key, value, None, scaling=scaling)
    wanted, _ = sdpa_attention_forward(groups, query, key, value, mask, scaling=scaling)
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=0)


@pytest.fixture
def calls(monkeypatch):
    """How many keys each part had."""
    attend, seen = attention._attend, []

    def counted(query, key, *args, **kwargs):
        seen.append(key.shape[2])
        return attend(query, key, *args, **kwargs)

    monkeypatch.setattr(attention, "_attend", counted)
    return seen


def model(config):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()


def both(language_model, *feeds, **kwargs):
    """Hidden states of embeddings fed one after the other, by torch's attention and by ours."""
    results = []
    for name in ("sdpa", NAME):
        language_model.config._attn_implementation = name
        kwargs["past_key_values"] = StreamCache(language_model.config)
        results.append([language_model.model(inputs_embeds=some, **kwargs).last_hidden_state for some in feeds])
    return results


@torch.no_grad()
def test_a_model_gives_the_same_with_it(calls):
    feeds = [numbers(1, n, 32) for n in (10, FEWEST, 1, FEWEST - 1, 200)]
    for wanted, found in zip(*both(model(LlamaConfig(**SIZES)), *feeds), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert calls == 2 * [10, FEWEST] + 2 * [10 + 2 * FEWEST, 200]


@torch.no_grad()
def test_a_sliding_window_is_kept(calls):
    feeds = [numbers(1, n, 32) for n in (100, 100)]
    for wanted, found in zip(*both(model(MistralConfig(**SIZES, sliding_window=20)), *feeds), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert not calls


@torch.no_grad()
def test_padding_is_kept(calls):
    padding = torch.ones(1, 150, dtype=torch.long)
    padding[:, :7] = 0
    wanted, found = both(model(LlamaConfig(**SIZES)), numbers(1, 150, 32), attention_mask=padding)
    torch.testing.assert_close(found[0], wanted[0], atol=1e-5, rtol=0)
    assert not calls


def test_gradients_go_the_usual_way(calls):
    language_model = model(LlamaConfig(**SIZES))
    language_model.config._attn_implementation = NAME
    cache = DynamicCache()
    for _ in range(2):
        output = language_model.model(inputs_embeds=numbers(1, 100, 32), past_key_values=cache)
    output.last_hidden_state.sum().backward()
    assert language_model.model.layers[0].self_attn.q_proj.weight.grad.abs().sum() > 0
    assert not calls


def test_scores_that_a_model_changes_are_refused():
    query = numbers(1, 2, 5, 8)
    with pytest.raises(CheckpointError, match=r"softcap.*eager"):
        split_attention(torch.nn.Module(), query, numbers(1, 2, 9, 8), numbers(1, 2, 9, 8), None, softcap=30.0)


def test_a_session_uses_it_but_where_another_was_asked_for():
    duet, processor = build_tiny()
    DuetSession(duet, processor)
    assert duet.language_model.config._attn_implementation == NAME
    duet.language_model.config._attn_implementation = "eager"
    use_split_attention(duet)
    assert duet.language_model.config._attn_implementation == "eager"


def test_a_session_sees_and_says_the_same_with_it(frames, calls, monkeypatch):
    duet, processor = build_tiny()
    wanted = PublishedLoop(duet, processor, policy=EveryNth(3), max_new_tokens=5).run(frames)
    assert not calls
    monkeypatch.setattr(attention, "FEWEST", 2)
    session = DuetSession(duet, processor, policy=EveryNth(3), max_new_tokens=5, protocol="upstream")
    trace = session.run(frames)
    assert calls
    assert trace.responses == wanted.responses
    assert abs(trace.informative - wanted.informative).max() < 1e-5
    assert abs(trace.relevance - wanted.relevance).max() < 1e-5


@pytest.mark.parametrize(("device", "dtype", "new", "seen", "with_mask"), [
    ("cpu", torch.float32, FEWEST, 200, False), ("cpu", torch.float32, FEWEST - 1, 200, True),
    ("cuda", torch.bfloat16, 2, 200, False), ("cuda", torch.float32, 100, 200, True),
    ("mps", torch.bfloat16, 100, 200, True),
])  # fmt: skip
def test_a_mask_is_made_where_no_kernel_does_without(monkeypatch, device, dtype, new, seen, with_mask):
    monkeypatch.setattr(attention, "sdpa_mask", lambda **kwargs: "mask")
    fields = {"q_length": new, "kv_length": seen, "q_offset": seen - new, "kv_offset": 0, "attention_mask": None}
    with torch.no_grad():
        found = attention._mask(**fields, mask_function=attention.causal_mask_function, device=device, dtype=dtype)
    assert found == ("mask" if with_mask else None)
