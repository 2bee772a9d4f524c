"""Small clips for tests, written with PyAV: good ones, and every kind of bad one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
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


# clips whose frames show their numbers

WIDTH, HEIGHT, RATE = 160, 120, 25
X264 = {"preset": "fast", "threads": "1"}
X265 = "log-level=none:pools=1:frame-threads=1:scenecut=0"
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "H.264": ("libx264", X264 | {"x264-params": "keyint=25:scenecut=0:bframes=3"}),
    "H.264 without B": ("libx264", X264 | {"x264-params": "keyint=25:scenecut=0:bframes=0"}),
    "H.264 open GOP": ("libx264", X264 | {"x264-params": "keyint=25:min-keyint=20:scenecut=0:bframes=3:open-gop=1"}),
    "HEVC open GOP": ("libx265", {"preset": "superfast", "x265-params": f"{X265}:keyint=25:bframes=3"}),
    "MPEG-4": ("mpeg4", {"g": "25", "q": "3"}),
    "MPEG-4 with B": ("mpeg4", {"g": "25", "q": "3", "bf": "2"}),
    "MPEG-2": ("mpeg2video", {"g": "12", "q": "3", "bf": "2"}),
    "VP8": ("libvpx", {"g": "25", "deadline": "realtime", "cpu-used": "8"}),
    "VP9": ("libvpx-vp9", {"g": "25", "deadline": "realtime", "cpu-used": "8"}),
    "AV1": ("libsvtav1", {"g": "25", "preset": "12", "svtav1-params": "lp=1"}),
    "MJPEG": ("mjpeg", {"q": "3"}),
    "FLV1": ("flv", {"g": "25", "q": "3"}),
    "WMV2": ("wmv2", {"g": "25", "q": "3"}),
}


def coded(number: int) -> np.ndarray:
    """uint8 [HEIGHT, WIDTH, 3]: 4 by 3 blocks, row by row; block b is white when bit b of the number is 1."""
    bits = np.array([number >> bit & 1 for bit in range(12)], np.uint8).reshape(3, 4)
    grey = np.kron(20 + 215 * bits, np.ones((HEIGHT // 3, WIDTH // 4), np.uint8))
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)


def number_of(frame: np.ndarray) -> int:
    """The number in a frame, [H, W, 3], of any size."""
    height, width = frame.shape[:2]
    rows, columns = (np.arange(3) * 2 + 1) * height // 6, (np.arange(4) * 2 + 1) * width // 8
    bits = frame[np.ix_(rows, columns)].mean(axis=2).reshape(-1) > 128
    return int(sum(1 << bit for bit, lit in enumerate(bits) if lit))


def numbers_of(frames: Any) -> list[int]:
    """The numbers in square frames, uint8 [n, 3, WIDTH, WIDTH], padded with black."""
    border = (WIDTH - HEIGHT) // 2
    return [number_of(frame[:, border : border + HEIGHT].permute(1, 2, 0).numpy()) for frame in frames]


@contextmanager
def _open(path: Path, options: dict[str, str] | None = None) -> Iterator[Any]:
    """A container to write to. The thread's scheduling is kept.

    Where it may, SVT-AV1 makes the thread that opens it a real-time one, and what the thread starts starves others.
    """
    policy = os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else None
    try:
        with av.open(str(path), "w", options=options or {}) as container:
            yield container
    finally:
        if policy is not None:
            os.sched_setscheduler(0, policy, os.sched_param(0))


def write_coded(
    path: Path, encoder: str = "H.264", *, frames: int = 100, options: dict[str, str] | None = None
) -> Path:
    """Frames 0 … frames - 1 at RATE. options: of the container."""
    codec, settings = ENCODERS[encoder]
    with _open(path, options) as container:
        stream: Any = container.add_stream(codec, rate=RATE, options=settings)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(coded(number), format="rgb24")))
        container.mux(stream.encode())
    return path


def write_sounding(path: Path, encoder: str, *, frames: int = 100) -> Path:
    """The frames of `write_coded`, with a silent track of sound beside them."""
    codec, settings = ENCODERS[encoder]
    with _open(path) as container:
        stream: Any = container.add_stream(codec, rate=RATE, options=settings)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound: Any = container.add_stream("aac", rate=16000)
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(coded(number), format="rgb24")))
        for n in range(frames * 16000 // RATE // 1024):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts = 16000, 1024 * n
            container.mux(sound.encode(silence))
        container.mux(stream.encode())
        container.mux(sound.encode())
    return path


def write_y4m(path: Path, *, frames: int = 100) -> Path:
    """The frames of `write_coded`, at RATE, uncompressed: a file for Chromium's fake camera."""
    colour = bytes([128]) * (WIDTH * HEIGHT // 2)
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{RATE}:1 Ip A1:1 C420jpeg\n".encode())
        for number in range(frames):
            file.write(b"FRAME\n" + coded(number)[:, :, 0].tobytes() + colour)
    return path


def write_large(path: Path, *, megabytes: int, frames: int = 50) -> Path:
    """The frames of `write_coded`, at RATE, larger than asked for: noise that is not seen takes the space."""
    rng, size = np.random.default_rng(0), (640, 480)
    bytes_a_frame = megabytes * 1_000_000 // frames
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=RATE, options={"g": "1", "qmin": "1", "qmax": "1"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.bit_rate = 8 * bytes_a_frame * RATE * 2
        for number in range(frames):
            picture = np.kron(coded(number), np.ones((4, 4, 1), np.uint8)).astype(np.int16)
            picture = np.clip(picture + rng.integers(-120, 120, picture.shape), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def copy_stream(source: Path, path: Path, *, start: float = 0.0, length: float = 1e9, options: Any = None) -> Path:
    """What ``ffmpeg -ss start -i source -t length -c copy path`` does: packets from the key frame before `start`, in
    decoding order, with times counted from `start`.
    """
    with av.open(str(source)) as reader, av.open(str(path), "w", options=options or {}) as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        first = (stream.start_time or 0) + int(start / stream.time_base)
        if start:
            reader.seek(first, stream=stream)
        for packet in reader.demux(stream):
            if packet.dts is None and packet.pts is None:
                continue
            shift = first if start else 0
            if (packet.pts - shift) * stream.time_base >= length:
                break
            packet.pts -= shift
            packet.dts = None if packet.dts is None else packet.dts - shift
            packet.stream = copy
            writer.mux(packet)
    return path


def shown(path: Path) -> tuple[np.ndarray, list[int]]:
    """(times, s, from the first; numbers) of the frames that a player shows: all are decoded, from the start."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(frame.pts, number_of(frame.to_ndarray(format="rgb24"))) for frame in container.decode(stream)]
        times = np.sort(np.array([pts for pts, _ in frames])) * float(stream.time_base)
    return times - times[0], [number for _, number in frames]


def turned(path: Path, quarters: int, *, mirrored: bool = False) -> Path:
    """Tell players of an mp4 to turn the picture clockwise, by the matrix in its track header; first to mirror it."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix stands after 40 bytes
    turns = {0: (1, 0, 0, 1), 1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}
    a, b, c, d = (value << 16 for value in turns[quarters])
    a, b = (-a, -b) if mirrored else (a, b)  # where a step to the right goes
    for n, value in enumerate((a, b, 0, c, d, 0, 0, 0, 1 << 30)):
        data[at + 4 * n : at + 4 * n + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    return path
