"""Which device a model runs on, and in which precision, where the user leaves it open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmduet.errors import DuetError

if TYPE_CHECKING:
    import torch

DTYPES = ("bfloat16", "float16", "float32")


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
