"""Memory: the peak of a process or device, and free memory that glibc keeps, given back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def return_memory() -> None:
    """Give free memory back to the system. Without glibc this does nothing."""
    if _trim is not None:
        _trim(0)


def free_garbage() -> None:
    """Collect garbage, such as a model in a cycle of references, and give its memory back."""
    gc.collect()
    return_memory()


def peak_memory(device: torch.device | None = None) -> float:
    """Return the peak memory, MB.

    Args:
        device: A CUDA device: its peak since its statistics were reset. Another device or None: this process's peak.
    """
    if device is not None and device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    if sys.platform == "linux":
        # getrusage would include the memory of the process that started this one
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS counts in bytes
