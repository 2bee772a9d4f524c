"""Kernels of a CPU: attention in two parts, linear layers through oneDNN."""

import torch

from mmduet.kernels.attention import use_split_attention
from mmduet.kernels.kv_cache import StreamCache
from mmduet.kernels.onednn import onednn_linear
from mmduet.kernels.plain import Kernels
from mmduet.model.backbone import Backbone, EmbeddedTokens
from mmduet.model.processing import DuetProcessor


class CpuKernels(Kernels):
    """The inherited `call_cost` was measured with a 135M-shaped model: 30 to 70 tokens."""

    def __init__(self, model: Backbone, processor: DuetProcessor):
        """As `Kernels.__init__`."""
        super().__init__(model, processor)
        use_split_attention(model)

    def hidden(self, tokens: EmbeddedTokens, cache: StreamCache) -> torch.Tensor:
        """As `Kernels.hidden`."""
        with onednn_linear(self.model.device):
            return super().hidden(tokens, cache)
