"""How fast a session is, and where its time goes."""

import gc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import torch

from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.policy import FrameScores
from mmduet.streaming.session import DuetSession, Frames
from mmduet.system.stages import STAGES, StageClock, count_stages
from mmduet.trace import DuetTrace, Query

T = TypeVar("T")


class EveryNth:
    """A policy that speaks after every nth frame, whatever the scores."""

    def __init__(self, n: int):
        """Start to count. n=0: never speak."""
        self.n = n
        self.reset()

    def need(self, scores: FrameScores) -> bool:
        """Whether this is an nth frame."""
        self.seen += 1
        return self.n > 0 and self.seen % self.n == 0

    def reset(self) -> None:
        """Count from the start."""
        self.seen = 0


@dataclass(frozen=True, slots=True)
class Speed:
    """The time of one video.

    Attributes:
        trace: What the session saw and said.
        seconds: Wall clock time.
        stages: Seconds of each of `STAGES`, and of the rest. They add up to `seconds`, except for decoding in a thread,
            which runs in parallel; the other stages `wait` for it.
    """

    trace: DuetTrace
    seconds: float
    stages: dict[str, float]

    @property
    def frames_per_second(self) -> float:
        """Frames a second, end to end."""
        return len(self.trace) / self.seconds

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens a second of generation; nan without a response."""
        tokens = sum(len(response.token_ids) for response in self.trace.responses)
        return tokens / self.stages["generation"] if tokens else float("nan")


def watch(session: DuetSession, frames: Frames, queries: Iterable[Query] = ()) -> Speed:
    """Run a session and measure its time."""
    with count_stages(StageClock(partial(_synchronize, session.model.device))) as clock:
        start = clock.now()
        trace = session.run(frames, queries)
        seconds = clock.now() - start
    stages = {name: clock.seconds[name] for name in STAGES}
    return Speed(trace, seconds, stages | {"rest": seconds - clock.own})


def latencies(session: DuetSession, frames: torch.Tensor) -> np.ndarray:
    """Feed frames one by one, as a camera does, and measure the time from a frame to its scores.

    Returns:
        float64 [N], seconds. A response comes after its frame's scores and is not included.
    """
    session.reset()
    waits = []
    for frame in frames:
        start = perf_counter()
        for event in session.feed(frame[None]):
            if isinstance(event, FrameScores):  # plain numbers, so a GPU has finished
                waits.append(perf_counter() - start)
    return np.array(waits)


@dataclass(frozen=True, slots=True)
class Growth:
    """The cost of a long stream, part by part.

    Attributes:
        frames: Frames seen at the part's end.
        milliseconds: Time per frame within the part.
        megabytes: Memory of keys and values.
    """

    frames: list[int]
    milliseconds: list[float]
    megabytes: list[float]


def memory_growth(session: DuetSession, frames: torch.Tensor, count: int, *, parts: int = 10) -> Growth:
    """Watch a long stream, and measure each part.

    Args:
        session: The session.
        frames: uint8 [N, 3, H, W], repeated until there are `count`.
        count: Number of frames, at least 1.
        parts: Number of parts, at most; none is empty.
    """
    session.reset()
    result, seen = Growth([], [], []), 0
    for part in np.array_split(np.arange(count), min(parts, count)):
        start = perf_counter()
        list(session.feed(frames[torch.from_numpy(part) % len(frames)]))
        seen += len(part)
        result.frames.append(seen)
        result.milliseconds.append(1000 * (perf_counter() - start) / len(part))
        result.megabytes.append(session.state.cache.bytes / 1e6)
    return result


def alternate_runs(
    sides: Mapping[str, Callable[[], T]], rounds: int, *, warm_up: bool = True
) -> tuple[dict[str, float], dict[str, T]]:
    """Run several functions alternately.

    Args:
        sides: Name -> function.
        rounds: Runs of each.
        warm_up: Whether a run of each that does not count comes first.

    Returns:
        Median seconds and the last result of each.
    """
    results = {name: action() for name, action in sides.items()} if warm_up else {}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, action in sides.items():
            gc.collect()
            start = perf_counter()
            results[name] = action()  # ends with plain numbers, so a GPU has finished
            seconds[name].append(perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}, results


def frame_flops(model: DuetForConditionalGeneration, context: int = 0) -> dict[str, float]:
    """Count the floating-point operations of one frame, by stage.

    Two for each weight and position, and four for each pair of positions, layer and hidden unit in attention (Kaplan et
    al., arXiv 2001.08361, section 2.1). A convolution's weights count at every place.

    Args:
        model: The model.
        context: Tokens before the frame.
    """
    config = model.config
    tokens, text = config.tokens_per_frame, config.text_config
    body = sum(weights.numel() for weights in model.language_model.base_model.layers.parameters())
    attention = 4 * tokens * (context + tokens / 2) * text.num_attention_heads * _head_size(text)
    return {
        "vision": _counted_flops(model),
        "language model": 2 * body * tokens + attention * text.num_hidden_layers,
    }


def _head_size(text: Any) -> int:
    return getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads


@torch.inference_mode()
def _counted_flops(model: DuetForConditionalGeneration) -> float:
    """Operations of one frame in tower, projector and pooling, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    size = model.config.vision_config.image_size
    pixel_values = torch.zeros(1, 3, size, size, dtype=model.dtype, device=model.device)
    with FlopCounterMode(display=False) as counter:
        model.encode_frames(pixel_values)
    return float(counter.get_total_flops())


def peak_flops(device: torch.device | str, dtype: torch.dtype, *, size: int | None = None, rounds: int = 5) -> float:
    """Measure the device's peak FLOP/s with a [size, size] matrix product, the best of several runs.

    Args:
        device: The device.
        dtype: The precision.
        size: Rows and columns. None: 2048 on a CPU and 8192 on a GPU, which smaller ones do not occupy.
        rounds: Runs after the first, which does not count.
    """
    size = size or (2048 if torch.device(device).type == "cpu" else 8192)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(rounds + 1):  # the first one warms up
        _synchronize(torch.device(device))
        start = perf_counter()
        a @ b
        _synchronize(torch.device(device))
        best = min(best, perf_counter() - start)
    return 2 * size**3 / best


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
