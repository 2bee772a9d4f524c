"""How fast a session is, beside the published algorithm on the same weights; and how far it goes.

    python perf/streaming.py llm                      # 135M-shaped, 49 tokens a frame, 120 frames, no response
    python perf/streaming.py llm --every 10           # a response after every 10th frame
    python perf/streaming.py llm --model mini         # 4 tokens a frame
    python perf/streaming.py llm --model mini --every 10
    python perf/streaming.py clip                     # mini, from a 720p mp4 to its scores; --file: from another
    python perf/streaming.py decode                   # sampling at 2 fps, beside OpenCV
    python perf/streaming.py endless                  # 72,000 frames at bounded memory
    python perf/streaming.py gpu                      # 7B-shaped, bfloat16, CUDA; on a CPU: --model tiny --device
                                                            # cpu --dtype float32 --frames 20

Both sides run in one process, in turn; they must agree on scores and words; medians and their ratio are printed. OpenCV
is no dependency of the project: `pip install opencv-python-headless` before `decode`.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import torch
import typer
from tqdm import tqdm
from transformers import LlamaConfig, Qwen2Config, SiglipVisionConfig

from mmduet import DuetConfig, DuetForConditionalGeneration, DuetProcessor, DuetSession, FrameScores, Query, load_duet
from mmduet.checkpoints import build_tiny
from mmduet.kernels.graphs import SIZES
from mmduet.model.backbone import EmbeddedTokens
from mmduet.model.frame_settings import FrameSettings
from mmduet.model.prompt import StreamTurn, TextTurn, Turn
from mmduet.profiling.performance import EveryNth, alternate_runs, latencies, watch
from mmduet.profiling.published_loop import PublishedLoop
from mmduet.streaming.state import KeptResponse, StreamState
from mmduet.system.machine import machine
from mmduet.system.memory import peak_memory
from mmduet.trace import DuetTrace
from mmduet.video import iter_frames

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
Model = Annotated[str, typer.Option(help="135m or 7b, random weights of that shape; or a preset or folder.")]
Frames = Annotated[int, typer.Option(help="Frames to watch.")]
Every = Annotated[int, typer.Option(help="A response after every so many frames; 0: none.")]
Rounds = Annotated[int, typer.Option(help="Runs of each side, in turn; the median counts.")]
NewTokens = Annotated[int, typer.Option(help="A response is cut there.")]
Device = Annotated[str, typer.Option(help="cpu, cuda …")]
Dtype = Annotated[str, typer.Option(help="Of the weights.")]


# models and clips


def small_shape(image_id: int) -> tuple[DuetConfig, int]:
    """SmolLM2-135M, 49 tokens a frame."""
    text = LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=32768, tie_word_embeddings=True,
    )  # fmt: skip
    vision = SiglipVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=4
    )
    return DuetConfig(text_config=text, vision_config=vision, image_token_id=image_id, pool_stride=1), 28


def published_shape(image_id: int) -> tuple[DuetConfig, int]:
    """Qwen2-7B and the 26 layers of SigLIP so400m, 49 tokens a frame."""
    text = Qwen2Config(
        vocab_size=152064, hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28,
        num_key_value_heads=4, max_position_embeddings=32768, rope_theta=1e6, tie_word_embeddings=False,
    )  # fmt: skip
    vision = SiglipVisionConfig(
        hidden_size=1152, intermediate_size=4304, num_hidden_layers=26, num_attention_heads=16, image_size=384,
        patch_size=14,
    )  # fmt: skip
    return DuetConfig(text_config=text, vision_config=vision, image_token_id=image_id), 384


SHAPES = {"135m": small_shape, "7b": published_shape}


def build(name: str, *, device: str = "cpu", dtype: str = "float32") -> tuple[Any, DuetProcessor]:
    """Random weights of a shape, drawn where they stay; else what `load_duet` finds."""
    if name not in SHAPES:
        return load_duet(name, dtype=getattr(torch, dtype), device=device)
    _, tiny = build_tiny()
    config, size = SHAPES[name](tiny.image_id)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.device(device):
            model = DuetForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    return model.eval(), DuetProcessor(tiny.tokenizer, FrameSettings(size, config.tokens_per_frame))


class CheapTower(torch.nn.Module):
    """In a tower's place where its work is not what is measured: each cell's mean colour, through a random matrix."""

    def __init__(self, side: int, features: int):
        super().__init__()
        self.side = side
        self.weight = torch.nn.Parameter(torch.randn(3, features))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        cells = torch.nn.functional.adaptive_avg_pool2d(pixel_values, self.side)
        return cells.flatten(2).transpose(1, 2) @ self.weight


def noise(size: int, frames: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (frames, 3, size, size), dtype=torch.uint8, generator=generator)


def write_clip(path: Path, seconds: int, *, fps: int = 30, size: tuple[int, int] = (1280, 720)) -> Path:
    """H.264 of a photograph that moves, with a new cut every 4 s."""
    import av
    from skimage import data

    pictures = [np.tile(picture, (4, 4, 1)) for picture in (data.astronaut(), data.coffee(), data.chelsea())]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"preset": "veryfast"}
        for n in range(seconds * fps):
            picture, shift = pictures[n // (4 * fps) % len(pictures)], 3 * (n % (4 * fps))
            view = np.ascontiguousarray(picture[shift // 2 : shift // 2 + size[1], shift : shift + size[0]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        container.mux(stream.encode())
    return path


# what both sides do


def check_agreement(theirs: DuetTrace, ours: DuetTrace, exact: bool) -> None:
    """Exits unless both saw and said the same; in bfloat16 a rounding may change a word, and all after it."""
    if not exact:
        return
    differs = max(np.abs(getattr(theirs, head) - getattr(ours, head)).max() for head in ("informative", "relevance"))
    if differs > 1e-4 or theirs.responses != ours.responses:
        sys.exit(f"the two sides do not agree: scores differ by {differs}, responses {theirs.responses[:1]}")


def compare(duet: Any, processor: DuetProcessor, frames: torch.Tensor, *, every: int, rounds: int, new: int) -> None:
    """Print frames a second of both."""
    published = PublishedLoop(duet, processor, policy=EveryNth(every), max_new_tokens=new)
    session = DuetSession(duet, processor, policy=EveryNth(every), max_new_tokens=new, protocol="upstream")
    sides: dict[str, Callable[[], DuetTrace]] = {
        "published": lambda: published.run(frames),
        "ours": lambda: session.run(frames),
    }
    published.run(frames[: 2 * every or 20])  # a few make all that is made once; a whole run may take it a minute
    session.run(frames)
    seconds, traces = alternate_runs(sides, rounds, warm_up=False)
    check_agreement(traces["published"], traces["ours"], exact=duet.dtype == torch.float32)
    responses = traces["ours"].responses
    tokens = sum(len(response.token_ids) for response in responses)
    print(f"{len(frames)} frames, {len(responses)} responses, {tokens} tokens said; medians of {rounds}; {machine()}")
    for name, value in seconds.items():
        print(f"  {name:10} {len(frames) / value:8.1f} frames/s  ({value:.2f} s)")
    print(f"  ratio      {seconds['published'] / seconds['ours']:8.2f}")


# commands


@app.command()
def llm(
    model: Model = "135m",
    frames: Frames = 120,
    every: Every = 0,
    rounds: Rounds = 5,
    new_tokens: NewTokens = 10,
    device: Device = "cpu",
    dtype: Dtype = "float32",
) -> None:
    """The language model alone: a tower that costs nothing stands in for the real one."""
    duet, processor = build(model, device=device, dtype=dtype)
    tower = CheapTower(duet.config.grid_side, duet.config.vision_config.hidden_size)
    duet.vision_tower = tower.to(device, getattr(torch, dtype))
    print(f"language model of {model}, {processor.frame.tokens} tokens a frame: ", end="")
    compare(duet, processor, noise(processor.frame.size, frames), every=every, rounds=rounds, new=new_tokens)


@app.command()
def clip(
    model: Model = "mini",
    file: Annotated[Path | None, typer.Option(help="The clip; without one, 60 s of 720p at 30 fps are made.")] = None,
    rounds: Rounds = 5,
    ahead: Annotated[int, typer.Option(help="Batches that a thread decodes ahead.")] = 0,
) -> None:
    """From an mp4 file to its scores, sampled at 2 fps, no response; and where the time goes."""
    duet, processor = build(model)
    session = DuetSession(duet, processor, policy=EveryNth(0))
    with TemporaryDirectory() as folder:
        path = file or write_clip(Path(folder) / "clip.mp4", 60)
        size, batch = processor.frame.fit, session.look_ahead.limit
        reading = partial(iter_frames, path, fps=2, size=size, batch_size=batch, ahead=ahead)
        speeds = [watch(session, reading()) for _ in range(rounds + 1)][1:]
    middle = sorted(speeds, key=lambda speed: speed.seconds)[len(speeds) // 2]
    print(f"{model}, {len(middle.trace)} frames of {file or 'a 720p clip'}; median of {rounds}; {machine()}")
    print(f"  end to end {middle.frames_per_second:8.1f} frames/s")
    for name, spent in middle.stages.items():
        print(f"  {name:15} {1000 * spent / len(middle.trace):8.2f} ms a frame")


@app.command()
def decode(
    seconds: Annotated[int, typer.Option(help="Length of the clip; memory is also taken of one 4 times as long.")] = 60,
    rounds: Rounds = 5,
    size: Annotated[int, typer.Option(help="Pixels along a side of a sampled frame.")] = 384,
) -> None:
    """Decoding and sampling at 2 fps from 720p at 30 fps, beside OpenCV's sequential loop."""
    with TemporaryDirectory() as folder:
        path = write_clip(Path(folder) / "clip.mp4", seconds)
        times, counts = alternate_runs(
            {"opencv": lambda: opencv_frames(path, size), "ours": lambda: our_frames(path, size)}, rounds
        )
        if abs(counts["opencv"] - counts["ours"]) > 1:
            sys.exit(f"the two sides do not agree on the frames: {counts}")
        print(
            f"{seconds} s of 720p H.264 at 30 fps, sampled at 2 fps to {size}x{size}; medians of {rounds}; {machine()}"
        )
        for name, value in times.items():
            print(f"  {name:10} {value:6.2f} s  ({counts[name] / value:.1f} sampled frames/s)")
        print(f"  ratio      {times['opencv'] / times['ours']:6.2f}")
        longer = write_clip(Path(folder) / "longer.mp4", 4 * seconds)
        for name, file in (("clip", path), ("4 times as long", longer)):
            print(f"  peak memory, {name}: {memory_of_decoding(file, size):.0f} MB")


def our_frames(path: Path, size: int) -> int:
    return sum(len(batch.frames) for batch in iter_frames(path, fps=2, size=size))


def opencv_frames(path: Path, size: int) -> int:
    """One frame after the other; every 15th is fitted and kept until a batch of 32 is full."""
    import cv2

    video, frames, count, number = cv2.VideoCapture(str(path)), [], 0, 0
    while True:
        read, frame = video.read()
        if not read:
            return count
        if number % 15 == 0:
            scale = size / max(frame.shape[:2])
            small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            frames.append(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
            frames = frames[-32:]
            count += 1
        number += 1


def memory_of_decoding(path: Path, size: int) -> float:
    """MB, the peak of a process that does nothing else."""
    code = (
        "from mmduet.system.memory import peak_memory; from mmduet.video import iter_frames\n"
        f"for batch in iter_frames({str(path)!r}, fps=2, size={size}): pass\n"
        "print(peak_memory())"
    )
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


@app.command()
def endless(
    frames: Frames = 72_000,
    context_frames: Annotated[int, typer.Option(help="Frames the context holds.")] = 240,
    every: Every = 50,
    batch: Annotated[int, typer.Option(help="Frames that come at once.")] = 16,
    checks: Annotated[int, typer.Option(help="Frames whose scores are held against a fresh session's.")] = 50,
    device: Device = "cpu",
) -> None:
    """`tiny` through hours of video: memory, time a frame, and scores against those of the kept turns alone."""
    duet, processor = build_tiny()
    duet = duet.to(device)
    session = DuetSession(duet, processor, policy=EveryNth(every), max_new_tokens=8, context_frames=context_frames)
    chosen = set(Random(0).sample(range(frames), checks))
    clock, memory, held, worst, said, number = [perf_counter()], 0.0, (0.0, 0.0), 0.0, 0, 0
    events = session.stream(batches(frames, batch), [Query(0.0, "What happens?")])
    for event in tqdm(events, total=frames, unit="frame", disable=None):
        said += not isinstance(event, FrameScores | Query)
        if not isinstance(event, FrameScores):
            continue
        if number in chosen:
            worst = max(worst, abs(event.informative - fresh_score(duet, processor, session.state)))
        number += 1
        if number == min(2000, frames // 10):
            fresh_score(duet, processor, session.state)  # takes memory of its own
            memory, held = resident(), gpu_memory()
        if number % (frames // 10) == 0:
            clock.append(perf_counter())
    tenths = np.diff(clock) / (frames // 10) * 1000
    print(f"{number} frames, {said} responses, a context of {context_frames} frames; {machine()}")
    print(
        f"  resident memory grew by {resident() - memory:.1f} MB after the first 2,000 frames, to {resident():.0f} MB"
    )
    if duet.device.type == "cuda":
        grown = [now - before for now, before in zip(gpu_memory(), held, strict=True)]
        print(f"  GPU memory since then: {grown[0]:+.2f} MB allocated, {grown[1]:+.2f} MB reserved")
        print(f"  graphs: {len(session.kernels.graphs.replays)}, of {len(SIZES)} sizes")
    print(
        f"  time a frame: second tenth {tenths[1]:.2f} ms, last {tenths[-1]:.2f} ms, ratio {tenths[-1] / tenths[1]:.2f}"
    )
    print(f"  {checks} scores: at most {worst:.1e} from one pass over the kept turns")


def gpu_memory() -> tuple[float, float]:
    """MB: allocated and reserved; 0 without CUDA."""
    return torch.cuda.memory_allocated() / 1e6, torch.cuda.memory_reserved() / 1e6


def batches(frames: int, size: int) -> Iterator[torch.Tensor]:
    for first in range(0, frames, size):
        yield noise(32, min(size, frames - first), seed=first)


@torch.no_grad()
def fresh_score(duet: DuetForConditionalGeneration, processor: DuetProcessor, state: StreamState) -> float:
    """The informative score of the last frame in one pass over the training prompt of the turns that are kept."""
    turns: list[Turn] = [processor.system_turn()]
    for turn in state.turns:
        if isinstance(turn, Query):
            turns.append(TextTurn("user", turn.text))
        elif isinstance(turn, KeptResponse):
            turns.append(TextTurn("assistant", turn.text))
        elif isinstance(turns[-1], StreamTurn):
            turns[-1] = StreamTurn(turns[-1].frames + 1)
        else:
            turns.append(StreamTurn(1))
    ids = processor.ids(processor.render(turns, close=False))
    frames = [turn.embeds for turn in state.turns if isinstance(turn, EmbeddedTokens)]
    hidden = duet.hidden_states(duet.embed(torch.tensor([ids], device=duet.device), frames))
    return float(duet.score_frames(hidden[0, -1:])[0, 0])


def resident() -> float:
    """MB of this process's memory that is in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


@app.command()
def gpu(
    model: Model = "7b",
    frames: Frames = 400,
    every: Every = 10,
    rounds: Rounds = 5,
    new_tokens: NewTokens = 20,
    device: Device = "cuda",
    dtype: Dtype = "bfloat16",
    beside: Annotated[bool, typer.Option(help="Run the published loop, too.")] = True,
) -> None:
    """End to end beside the published loop, score-only, generation, and latency as a camera has it."""
    duet, processor = build(model, device=device, dtype=dtype)
    pictures = noise(processor.frame.size, frames)
    if beside:
        print(f"{model}, end to end, no response: ", end="")
        compare(duet, processor, pictures, every=0, rounds=rounds, new=new_tokens)
        print(f"{model}, end to end, a response every {every} frames: ", end="")
        compare(duet, processor, pictures, every=every, rounds=rounds, new=new_tokens)
    if duet.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(duet.device)
    print(f"{model}, {duet.dtype}, {frames} frames; medians of {rounds}; {machine()}")
    gpu_figures(DuetSession(duet, processor, policy=EveryNth(0)), pictures, rounds)
    at = min(frames, 10_000 // processor.frame.tokens)
    talking = DuetSession(duet, processor, policy=EveryNth(at), max_new_tokens=100)
    watch(talking, pictures[:at])  # records the graphs of this session
    speed = median(watch(talking, pictures[:at]).tokens_per_second for _ in range(rounds))
    print(f"  generation at {at * processor.frame.tokens} tokens {speed:8.1f} tokens/s")
    print(f"  peak memory   {peak_memory(duet.device):8.0f} MB")


def gpu_figures(session: DuetSession, pictures: torch.Tensor, rounds: int) -> None:
    """Print how fast frames are scored, together and one by one."""
    start = perf_counter()
    session.run(pictures)
    print(f"  first run     {perf_counter() - start:8.1f} s, all that is made once included")
    speeds = [watch(session, pictures) for _ in range(rounds)]
    middle = sorted(speeds, key=lambda speed: speed.seconds)[rounds // 2]
    each = {name: 1000 * seconds / len(pictures) for name, seconds in middle.stages.items() if seconds}
    parts = ", ".join(f"{name} {milliseconds:.2f}" for name, milliseconds in each.items())
    print(f"  score-only    {middle.frames_per_second:8.1f} frames/s  (ms a frame: {parts})")
    latencies(session, pictures)
    waits = 1000 * latencies(session, pictures)
    per_frame = session.processor.frame.tokens
    for name, low, high in (("all", 0, np.inf), ("9,000 to 11,000 tokens", 9000, 11000)):
        some = [wait for frame, wait in enumerate(waits) if low <= frame * per_frame <= high]
        if some:
            p50, p95 = np.percentile(some, [50, 95])
            print(f"  live latency  p50 {p50:.1f} ms, p95 {p95:.1f} ms a frame ({name})")


if __name__ == "__main__":
    app()
