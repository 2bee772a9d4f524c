"""Which device a model runs on, in which precision, and what is said where its memory runs out."""

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
# how torch and NumPy say it: torch.OutOfMemoryError is CUDA's caching allocator's alone
_FULL = re.compile(r"out of memory|can't allocate memory|STATUS_ALLOC_FAILED|unable to allocate", re.IGNORECASE)
_ASKED = re.compile(r"(?:tried|unable) to allocate ([\d.]+ \w+)", re.IGNORECASE)
_ROOM = re.compile(r"GPU (\d+) has a total capac\w+ of ([\d.]+ \w+) of which ([\d.]+ \w+) is free")


def choose_device(name: str | torch.device | None = "auto") -> torch.device:
    """The device of that name. ``"auto"`` or None: a GPU (CUDA's, then Apple's) if there is one, else the CPU.

    Raises DuetError for a name that is not known, and for a device that this machine does not have.
    """
    import torch

    if name is None or name == "auto":
        return torch.device("cuda" if _has_cuda() else "mps" if _has_mps() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise DuetError(f"device={name!r} is not known; use auto, cpu, cuda, cuda:N or mps.") from None
    if not _is_here(device):
        here = ["cpu", *(["cuda"] if _has_cuda() else []), *(["mps"] if _has_mps() else [])]
        raise DuetError(
            f"device='{device}' is not on this machine, which has {', '.join(here)}: use one of them, or auto."
        )
    return device


def choose_dtype(name: str | torch.dtype | None, device: str | torch.device) -> torch.dtype:
    """The precision of that name. ``"auto"`` or None: bfloat16 on a GPU, float32 on a CPU.

    Raises DuetError for one that no model is computed in.
    """
    import torch

    if name is None or name == "auto":
        return torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16
    known = {dtype: getattr(torch, dtype) for dtype in DTYPES}
    if isinstance(name, torch.dtype) and name in (*known.values(), torch.float64):
        return name
    if str(name) not in known:
        raise DuetError(f"dtype={name!r} is not known; use auto, {', '.join(DTYPES[:-1])} or {DTYPES[-1]}.")
    return known[str(name)]


@contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """Within, or in a function that it decorates, DuetError is raised where a device's memory runs out: one sentence
    that names the device, how much was asked for, how much is free, and the advice.

    advice: the sentence's end, what to lower. What the failed call held in its variables is let go, so that the same
    can be tried again with less, also where the error is kept, as a notebook keeps its last one.
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
    """Whose memory is full, and what is known of it, from torch's message."""
    asked, room = _ASKED.search(message), _ROOM.search(message)
    device = f"GPU {room[1]}" if room else "the GPU" if re.search("CU|MPS|HIP", message) else "this machine"
    facts = [f"{asked[1]} more were asked for"] if asked else []
    facts += [f"{room[3]} of {room[2]} are free"] if room else []
    return f"{device} is out of memory" + (f" ({', '.join(facts)})" if facts else "")


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _has_mps() -> bool:
    """Whether there is an Apple GPU that computes in bfloat16, which it does since macOS 14."""
    import torch

    return torch.backends.mps.is_available() and torch.backends.mps.is_macos_or_newer(14, 0)


def _is_here(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        return _has_cuda() and (device.index is None or device.index < torch.cuda.device_count())
    return device.type == "cpu" or (device.type == "mps" and torch.backends.mps.is_available())
