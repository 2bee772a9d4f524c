import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache, LlamaConfig, Qwen3NextConfig

from mmduet.errors import CheckpointError
from mmduet.kernels.kv_cache import FIRST_CAPACITY, StreamCache

CONFIG = LlamaConfig(num_hidden_layers=2)


def states(tokens, start=0):
    """[1, 2, tokens, 3]: every number another."""
    return (start + torch.arange(tokens * 6.0)).view(1, 2, tokens, 3)


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 400)), min_size=1, max_size=6))
def test_it_holds_what_a_concatenated_cache_holds(steps):
    ours, plain = StreamCache(CONFIG), DynamicCache()
    for number, (tokens, removed) in enumerate(steps):
        new = states(tokens, 1000 * number)
        for layer in range(2):
            found, wanted = (cache.update(new + layer, -new - layer, layer) for cache in (ours, plain))
            assert torch.equal(found[0], wanted[0])
            assert torch.equal(found[1], wanted[1])
        length = max(0, plain.get_seq_length() - removed)
        ours.cut(length)
        plain.crop(length - plain.get_seq_length())
        assert ours.length == length


def test_it_grows_in_place():
    cache = StreamCache(CONFIG)
    cache.update(states(10), states(10), 0)
    before = cache.layers[0].keys.data_ptr()
    cache.update(states(FIRST_CAPACITY - 10), states(FIRST_CAPACITY - 10), 0)
    assert cache.layers[0].keys.data_ptr() == before
    cache.update(states(1), states(1), 0)
    assert cache.layers[0].buffers[0].shape[-2] == 2 * FIRST_CAPACITY
    assert cache.bytes == 2 * 2 * 2 * FIRST_CAPACITY * 3 * 4


def test_a_tail_is_put_back():
    cache = StreamCache(CONFIG)
    for layer in range(2):
        cache.update(states(8), -states(8), layer)
    tail = cache.tail(5)
    cache.cut(5)
    for layer in range(2):
        cache.update(states(2, 99), states(2, 99), layer)
    cache.cut(5)
    cache.extend(tail)
    assert cache.length == 8
    assert torch.equal(cache.layers[1].values, -states(8))


def test_layers_that_cannot_be_cut_are_refused():
    with pytest.raises(CheckpointError, match="linear_attention"):
        StreamCache(Qwen3NextConfig(num_hidden_layers=4))
