"""Small clips for tests, written with PyAV: good ones, and every kind of bad one."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

CODECS = {".mp4": "libx264", ".mkv": "libx264", ".webm": "libvpx-vp9"}


def write_clip(path: Path, *, frames: int = 24, rate: int = 12, size: tuple[int, int] = (64, 48), times=None) -> Path:
    """Frame n is a grey of level 8 n (mod 256). times: a time for each frame, ms (variable rate)."""
    with av.open(str(path), "w", options={"movflags": "+faststart"} if path.suffix == ".mp4" else {}) as container:
        stream: Any = container.add_stream(CODECS[path.suffix], rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for n in range(frames):
            level = np.full((size[1], size[0], 3), 8 * n % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(level, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = int(times[n]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """A second of silence, no picture."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=16000)
        for n in range(16):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, 1024 * n
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
