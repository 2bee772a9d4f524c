"""A process's memory: the most it used, and what is free and still its own, since glibc keeps it."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def return_memory() -> None:
    """Give free memory back to the system; where there is no glibc, nothing happens."""
    if _trim is not None:
        _trim(0)


def free_garbage() -> None:
    """Also collect what nothing refers to any more, such as a model whose trainer referred to itself."""
    gc.collect()
    return_memory()


def peak_memory(device: torch.device | None = None) -> float:
    """MB: the most that was in use of a CUDA device since its statistics were reset, else by this process."""
    if device is not None and device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes in which the system counts
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
