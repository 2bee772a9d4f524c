"""Linear layers by oneDNN: the numbers of torch's own."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import Linear

from mmduet.kernels import onednn
from mmduet.kernels.onednn import onednn_linear

CPU = torch.device("cpu")


@given(
    shape=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    width=st.integers(1, 40),
    bias=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    strided=st.booleans(),
)
def test_the_numbers_are_those_of_torch(shape, width, bias, dtype, strided):
    generator = torch.Generator().manual_seed(0)
    layer = Linear(shape[-1], width, bias=bias, dtype=dtype)
    values = torch.randn(*shape, 2, generator=generator).to(dtype)
    values = values[..., 0] if strided else values[..., 0].contiguous()
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(onednn, "SMALLEST", 0)
        expected = layer(values)
        with onednn_linear(CPU):
            found = layer(values)
    assert (found.dtype, found.shape) == (dtype, expected.shape)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_it_is_onednn_that_computes(monkeypatch):
    calls = []
    original = torch.ops.mkldnn._linear_pointwise
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", lambda *args: calls.append(1) or original(*args))
    values, weight, small = torch.randn(3, 256), torch.randn(256, 256), torch.randn(255, 256)
    with torch.inference_mode():
        F.linear(values, weight)
        assert not calls
        with onednn_linear(CPU):
            F.linear(values, weight=weight)
            F.linear(values, small)
        assert calls == [1]


@pytest.mark.parametrize("device", [torch.device("cuda"), torch.device("mps")])
def test_other_devices_go_as_before(device):
    assert isinstance(onednn_linear(device), nullcontext)
