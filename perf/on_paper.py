"""How long four benchmarks take on 1, 8 and 64 H100, on paper, and what limits each.

    python perf/on_paper.py [--gpus 1 8 64] [--decode 16] [--frames 282] [--spoken 52.1] [--judge 5]

Nothing is run. The rates are those of docs/performance.md. The sizes of the test files are assumptions, which --size
replaces: --size charades_sta=3720,60 says questions, and frames of each. Decoding is counted for each GPU's own cores.
The judge is counted once for all, because an endpoint answers as fast for 64 GPUs as for one.
"""

import argparse
from dataclasses import dataclass

LOADING = 2.0  # minutes until a process has a 7B model


@dataclass(frozen=True)
class Size:
    """A test file. `spoken`: share of frames at the rate with responses; `judged`: answers a judge rates."""

    questions: int
    frames: float
    spoken: float
    judged: int = 0


SIZES = {
    "youcook2": Size(457, 160, 1.0),
    "magqa": Size(2_000, 40, 1.0, judged=6_000),
    "charades_sta": Size(3_720, 60, 0.0),
    "qvhighlights": Size(1_550, 150, 0.0),
}


def minutes(size: Size, gpus: int, rates: dict[str, float]) -> dict[str, float]:
    """Minutes of each part if it alone limited the run: all frames over all GPUs, all answers at one judge."""
    frames = size.questions * size.frames
    seconds = {
        "decode": frames / (gpus * rates["decode"]),
        "vision and LLM": frames * (1 - size.spoken) / (gpus * rates["frames"]),
        "LLM, with responses": frames * size.spoken / (gpus * rates["spoken"]),
        "judge": size.judged / rates["judge"],
    }
    return {part: value / 60 for part, value in seconds.items()}


def total(parts: dict[str, float], gpus: int, size: Size) -> tuple[float, str]:
    """Minutes of the run, and its bottleneck.

    Decoding and the model take turns in a process, so their times add up; the judge rates afterwards. The last video
    cannot be shared, so a run takes at least as long as one question.
    """
    work = sum(parts.values()) - parts["judge"]
    shared = max(work, (work * gpus) / size.questions)
    loaded = {"loading the model": LOADING, **parts}
    return LOADING + shared + parts["judge"], max(loaded, key=loaded.__getitem__)


def read_size(text: str) -> tuple[str, int, float]:
    """A benchmark's questions and frames of each, from NAME=QUESTIONS,FRAMES."""
    name, _, numbers = text.partition("=")
    questions, _, frames = numbers.partition(",")
    if name not in SIZES:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(SIZES)}")
    return name, int(questions), float(frames)


def main() -> None:
    """Print the table with its arithmetic."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpus", type=int, nargs="*", default=[1, 8, 64])
    parser.add_argument("--decode", type=float, default=16.0, help="frames/s that a core decodes, times --cores [16]")
    parser.add_argument("--cores", type=int, default=8, help="cores for each GPU [8]")
    parser.add_argument("--frames", type=float, default=282.0, help="frames/s of the model, no response [282]")
    parser.add_argument("--spoken", type=float, default=52.1, help="frames/s with 20 tokens every 10 frames [52.1]")
    parser.add_argument("--judge", type=float, default=5.0, help="answers/s of the judge, assumed [5]")
    parser.add_argument("--size", type=read_size, action="append", default=[], help="NAME=QUESTIONS,FRAMES")
    options = parser.parse_args()
    rates = {
        "decode": options.decode * options.cores,
        **{k: getattr(options, k) for k in ("frames", "spoken", "judge")},
    }
    sizes = SIZES | {n: Size(q, f, SIZES[n].spoken, SIZES[n].judged) for n, q, f in options.size}
    print(f"rates a GPU: {rates}; {LOADING:g} min to load the model")
    print("| benchmark | frames | GPUs | decode | model | judge | total | bottleneck |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, size in sizes.items():
        for gpus in options.gpus:
            parts = minutes(size, gpus, rates)
            whole, limit = total(parts, gpus, size)
            model = parts["vision and LLM"] + parts["LLM, with responses"]
            cells = [
                f"{size.questions:,} × {size.frames:g}",
                str(gpus),
                *(f"{v:.1f}" for v in (parts["decode"], model)),
            ]
            print("|", " | ".join([name, *cells, f"{parts['judge']:.1f}", f"{whole:.1f} min", limit]), "|")


if __name__ == "__main__":
    main()
