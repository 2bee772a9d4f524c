"""Devices: where a model runs, in which precision, and the error where its memory is full."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mmduet.errors import DuetError

if TYPE_CHECKING:
    import torch

DTYPES = ("bfloat16", "float16", "float32")
# messages of torch and NumPy: only CUDA's caching allocator raises torch.OutOfMemoryError
_FULL = re.compile(r"out of memory|can't allocate memory|STATUS_ALLOC_FAILED|unable to allocate", re.IGNORECASE)
_REQUESTED = re.compile(r"(?:tried|unable) to allocate ([\d.]+ \w+)", re.IGNORECASE)
_FREE = re.compile(r"GPU (\d+) has a total capac\w+ of ([\d.]+ \w+) of which ([\d.]+ \w+) is free")


def choose_device(name: str | torch.device | None = "auto") -> torch.device:
    """Choose a device by name.

    Args:
        name: A torch device. ``"auto"`` or None: a GPU (CUDA's, then Apple's) if the machine has one, else the CPU.

    Raises:
        DuetError: The name is not known, or this machine has no such device.
    """
    import torch

    if name is None or name == "auto":
        return torch.device("cuda" if _has_cuda() else "mps" if _has_mps() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise DuetError(f"device={name!r} is not known; use auto, cpu, cuda, cuda:N or mps.") from None
    if not _is_present(device):
        present = ["cpu", *(["cuda"] if _has_cuda() else []), *(["mps"] if _has_mps() else [])]
        raise DuetError(
            f"device='{device}' is not on this machine, which has {', '.join(present)}: use one of them, or auto."
        )
    return device


def choose_dtype(name: str | torch.dtype | None, device: str | torch.device) -> torch.dtype:
    """Choose a precision by name.

    Args:
        name: A torch dtype. ``"auto"`` or None: bfloat16 on a GPU, float32 on a CPU.
        device: Where the model runs.

    Raises:
        DuetError: Models are not computed in that precision.
    """
    import torch

    if name is None or name == "auto":
        return torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16
    known: dict[str, torch.dtype] = {dtype: getattr(torch, dtype) for dtype in DTYPES}
    if isinstance(name, torch.dtype) and name in (*known.values(), torch.float64):
        return name
    if str(name) not in known:
        raise DuetError(f"dtype={name!r} is not known; use auto, {', '.join(DTYPES[:-1])} or {DTYPES[-1]}.")
    return known[str(name)]


@contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """Raise DuetError where a device's memory is full, in a block or in a function that this decorates.

    The message names the device, how much was requested, how much is free, and the advice. The local variables of the
    failed call are cleared, so that their memory is free for a second attempt, also where the error itself is kept, as
    a notebook keeps its last one.

    Args:
        advice: What to lower; the end of the message.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_full(error):
            raise
        traceback.clear_frames(error.__traceback__)
        raise DuetError(f"{_shortage(str(error))}: {advice}.") from error


def _is_full(error: Exception) -> bool:
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or bool(_FULL.search(str(error)))


def _shortage(message: str) -> str:
    """Which device's memory is full, and how full it is, from torch's message."""
    requested, free = _REQUESTED.search(message), _FREE.search(message)
    device = f"GPU {free[1]}" if free else "the GPU" if re.search("CU|MPS|HIP", message) else "this machine"
    facts = [f"{requested[1]} more were requested"] if requested else []
    facts += [f"{free[3]} of {free[2]} are free"] if free else []
    return f"{device} is out of memory" + (f" ({', '.join(facts)})" if facts else "")


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _has_mps() -> bool:
    """Whether the machine has an Apple GPU that computes in bfloat16, which it does since macOS 14."""
    import torch

    return torch.backends.mps.is_available() and torch.backends.mps.is_macos_or_newer(14, 0)


def _is_present(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        return _has_cuda() and (device.index is None or device.index < torch.cuda.device_count())
    return device.type == "cpu" or (device.type == "mps" and torch.backends.mps.is_available())
