"""Fitting: frames resized into a square."""

from functools import partial

import torch
import torch.nn.functional as F


def fit_frames(frames: torch.Tensor, size: int, *, pixel_aspect: float = 1.0) -> torch.Tensor:
    """Resize frames into a square: bilinear, aspect ratio kept, centred, padded with black.

    Args:
        frames: uint8 [n, 3, H, W].
        size: Pixels.
        pixel_aspect: A pixel's width divided by its height, as displayed.

    Returns:
        uint8 [n, 3, size, size].
    """
    height, width = frames.shape[-2], frames.shape[-1] * pixel_aspect
    scale = size / max(height, width)
    inner = (max(1, round(height * scale)), max(1, round(width * scale)))
    if inner != frames.shape[-2:]:
        frames = _resize(frames, inner)
    top, left = (size - inner[0]) // 2, (size - inner[1]) // 2
    return F.pad(frames, (left, size - inner[1] - left, top, size - inner[0] - top))


def _resize(frames: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    resize = partial(F.interpolate, size=size, mode="bilinear", align_corners=False, antialias=True)
    if frames.device.type == "cpu":  # in integers: 20 times as fast, and at most 1 of 255 off
        return resize(frames.contiguous(memory_format=torch.channels_last)).contiguous()
    return resize(frames.float()).round_().clamp_(0, 255).byte()
