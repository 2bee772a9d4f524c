import pytest
import torch
from torch import nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from mmduet.kernels.norms import fused, rms_norms


class PlusOne(LlamaRMSNorm):
    """As Gemma has it, under Llama's names."""

    def forward(self, hidden_states):
        return super().forward(hidden_states) + torch.nn.functional.rms_norm(hidden_states, hidden_states.shape[-1:])


def test_only_those_are_replaced_that_give_the_same():
    body = nn.ModuleList([LlamaRMSNorm(8), GemmaRMSNorm(8), PlusOne(8), nn.LayerNorm(8)])
    assert rms_norms(body) == [body[0]]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
def test_within_it_is_one_kernel_and_afterwards_the_models_own(dtype, tolerance):
    norm = LlamaRMSNorm(64).to(dtype)
    norm.weight.data = torch.randn(64, dtype=dtype)
    values = torch.randn(5, 64).to(dtype)
    wanted = norm(values)
    with fused(rms_norms(nn.ModuleList([norm]))):
        torch.testing.assert_close(norm(values), wanted, rtol=tolerance, atol=tolerance)
        assert norm.forward.func is torch.nn.functional.rms_norm
    assert torch.equal(norm(values), wanted)
    assert "forward" not in vars(norm)
