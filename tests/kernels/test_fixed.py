"""Attention of a graph, against the plain one in float32; the flash kernels' part is played by plain torch."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig

from mmduet.kernels import fixed
from mmduet.kernels.fixed import MOST_PIECES, FixedContext, combine, pieces_for
from mmduet.kernels.kv_cache import StreamCache


def numbers(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plain(query, key, value, scale, causal):
    """[..., n, D] and the log of each query's sum of exponentials."""
    scores = query @ key.transpose(-1, -2) * scale
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -torch.inf)
    return scores.softmax(-1) @ value, scores.logsumexp(-1)


def varlen(query, key, value, ends, starts, most, capacity, *, return_aux, scale):
    """As `varlen_attn`: [tokens, heads, D] and [heads, tokens]; each piece for itself."""
    found, sums = [], []
    pairs = zip(ends.tolist(), ends.tolist()[1:], starts.tolist(), starts.tolist()[1:], strict=False)
    for first, last, start, end in pairs:
        assert last - first == most
        assert 0 < end - start <= capacity
        part = [x.transpose(0, 1) for x in (query[first:last], key[start:end], value[start:end])]
        one, its_sum = plain(*part, scale, False)
        found.append(one.transpose(0, 1))
        sums.append(its_sum)
    return torch.cat(found), torch.cat(sums, 1)


def among(query, key, value, dropout, causal, *, scale):
    groups = query.shape[1] // key.shape[1]
    return plain(query, key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1), scale, causal)


@given(st.integers(1, 20), st.integers(MOST_PIECES, 90), st.sampled_from([1, 2, 6]), st.integers(1, MOST_PIECES))
def test_pieces_put_together_are_causal_attention(new, old, shared, pieces):
    cache = StreamCache(LlamaConfig(num_hidden_layers=1))
    keys, values = (numbers(seed, 1, shared, old + new, 8) for seed in (1, 2))
    cache.update(keys[:, :, :old], values[:, :, :old], 0)
    cache.reserve(old + new + 30)
    query, scale = numbers(3, 1, 6, new, 8), 0.7
    mask = torch.ones(new, old + new, dtype=torch.bool).tril(old)
    wanted = F.scaled_dot_product_attention(query, keys, values, mask, scale=scale, enable_gqa=True).transpose(1, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixed, "varlen_attn", varlen)
        patch.setattr(torch.ops.aten, "_scaled_dot_product_flash_attention", among)
        context = FixedContext(cache, torch.tensor([old]), new, heads=6, pieces=pieces)
        found = context.attend(0, query, keys[:, :, old:], values[:, :, old:], scale)
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=0)
    assert torch.equal(cache.buffers(0)[0][:, :, : old + new], keys)


@given(st.integers(1, 5), st.integers(1, 9))
def test_parts_are_put_together_by_their_sums(parts, queries):
    query, key, value = (numbers(seed, *shape) for seed, shape in enumerate([(queries, 4), (30, 4), (30, 4)]))
    wanted, _ = plain(query, key, value, 1.0, False)
    splits = torch.tensor_split(torch.arange(30), parts)
    found, sums = zip(*(plain(query, key[at], value[at], 1.0, False) for at in splits), strict=True)
    torch.testing.assert_close(combine(torch.stack(found, -2), torch.stack(sums, -1)), wanted, atol=1e-5, rtol=0)


def test_without_the_flash_kernel_nothing_is_cut():
    cpu = torch.device("cpu")
    assert pieces_for(cpu, torch.bfloat16, heads=28, shared=4, size=128, new=1) == 1


@pytest.mark.parametrize(("major", "dtype", "size", "new", "pieces"), [
    (9, torch.bfloat16, 128, 1, 32), (9, torch.bfloat16, 128, 64, 9), (9, torch.float32, 128, 1, 1),
    (7, torch.float16, 128, 1, 1), (9, torch.float16, 512, 1, 1), (9, torch.float16, 100, 1, 1),
])  # fmt: skip
def test_pieces_fill_the_card(monkeypatch, major, dtype, size, new, pieces):
    properties = type("Properties", (), {"major": major, "multi_processor_count": 132})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    assert pieces_for(torch.device("cuda"), dtype, heads=28, shared=4, size=size, new=new) == pieces
