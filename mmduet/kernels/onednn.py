"""Linear layers through oneDNN on a CPU: for float32 torch uses MKL, which is slower on AMD's processors."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

# elements of a weight: with fewer nothing is gained, and oneDNN caches code for each number of rows
SMALLEST = 2**16


class _OneDNN(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        return _linear(*args, **kwargs) if func is F.linear else func(*args, **kwargs)


def _linear(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    if weight.numel() < SMALLEST or weight.dtype != torch.float32 or input.dtype != torch.float32:
        return F.linear(input, weight, bias)
    # torch's compiler calls this for a linear layer on a CPU
    return torch.ops.mkldnn._linear_pointwise(input, weight, bias, "none", [], "")


def onednn_linear(device: torch.device) -> AbstractContextManager[Any]:
    """Send float32 `torch.nn.functional.linear` through oneDNN, on a CPU and without gradients.

    The results are the same up to rounding.
    """
    usable = device.type == "cpu" and torch.backends.mkldnn.is_available()
    return _OneDNN() if usable else nullcontext()
