"""Kernels of a CPU: attention in two parts, linear layers by oneDNN."""

import torch

from mmduet.kernels.attention import use_split_attention
from mmduet.kernels.onednn import onednn_linear
from mmduet.kernels.plain import Kernels
from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.model.kv_cache import StreamCache
from mmduet.model.processing import DuetProcessor


class CpuKernels(Kernels):
    """call_cost: measured with a 135M-shaped model, 30 to 70 tokens."""

    def __init__(self, model: DuetForConditionalGeneration, processor: DuetProcessor):
        super().__init__(model, processor)
        use_split_attention(model)

    def hidden(self, embeds: torch.Tensor, cache: StreamCache) -> torch.Tensor:
        """As `Kernels.hidden`."""
        with onednn_linear(self.model.device):
            return super().hidden(embeds, cache)
