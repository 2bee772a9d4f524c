"""The machine: what computes, as reports and figures of speed name it."""

import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Any

from mmduet.system.devices import choose_device

_GPU_FILES = ("nv[!m]*", "kfd", "dxg")  # in /dev: NVIDIA's (not NVMe disks), AMD's, those of Windows' Linux


@cache
def accelerator(used: Any = None) -> str:
    """Name what computes: a GPU with its memory, else the processor with the number of usable cores.

    Args:
        used: The torch device; None: the device of "auto".
    """
    if used is None and not _may_have_gpu():
        return _processor()
    try:
        import torch  # slow to import
    except ImportError:
        return _processor()
    used = choose_device(used)
    if used.type == "cpu":
        return _processor()
    if used.type != "cuda":
        return f"GPU ({used.type})"
    memory = torch.cuda.get_device_properties(used).total_memory / 2**30
    return f"{torch.cuda.get_device_name(used)}, {memory:.0f} GiB (CUDA {torch.version.cuda})"


def _may_have_gpu() -> bool:
    """Whether torch is worth asking: on Linux no GPU of NVIDIA or AMD is without its device files."""
    return sys.platform != "linux" or any(next(Path("/dev").glob(name), None) for name in _GPU_FILES)


def machine(used: Any = None) -> str:
    """Name the whole machine: `accelerator` and the processor."""
    computes, processor = accelerator(used), _processor()
    return f"{'no GPU used' if computes == processor else computes}; {processor}"


def _processor() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor_name()}, {cores} cores"


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
