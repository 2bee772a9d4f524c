"""Linear layers by oneDNN on a CPU: for float32 torch asks MKL instead, which is slower on AMD's processors."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

# elements of a weight: below, nothing is won, and oneDNN keeps code for each number of rows it has met
SMALLEST = 2**16


class _OneDNN(TorchFunctionMode):
    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        return _linear(*args, **kwargs) if func is F.linear else func(*args, **kwargs)


def _linear(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    if weight.numel() < SMALLEST or weight.dtype != torch.float32 or input.dtype != torch.float32:
        return F.linear(input, weight, bias)
    # what torch's compiler calls for a linear layer on a CPU
    return torch.ops.mkldnn._linear_pointwise(input, weight, bias, "none", [], "")


def onednn_linear(device: torch.device) -> AbstractContextManager:
    """Within, on a CPU: `torch.nn.functional.linear` in float32 goes through oneDNN. Same results up to rounding;
    without gradients only.
    """
    usable = device.type == "cpu" and torch.backends.mkldnn.is_available()
    return _OneDNN() if usable else nullcontext()
