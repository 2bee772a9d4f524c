"""How long choosing a policy takes, beside a plain loop.

    python perf/calibration.py

1,000 traces of 300 frames with 5 spans each, drawn by a seed; 200 thresholds. Ours chooses among the policies on one
half of the traces, and measures the choice on the other half, with bootstrap intervals and temperatures. The plain loop
asks a policy about one frame after the other; it takes the first traces alone, as many as `--plain`, and its seconds
are scaled to one half of all. Both count the same responses, which is checked. Seconds are the processor's, so that
other work on the machine does not count. Threads: one.
"""

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

from types import SimpleNamespace
from typing import Annotated

import numpy as np
import typer
from stopwatch import timed

from mmduet.evaluation.calibration import Candidate, Target, calibrate, candidates_for
from mmduet.evaluation.calibration.candidates import MODES
from mmduet.evaluation.metrics.timing import sweep
from mmduet.evaluation.prediction_file import Prediction
from mmduet.policy import HEADS, fine_thresholds
from mmduet.trace import DuetTrace

FPS, SPANS, SPAN = 2.0, 5, 8.0  # frames a second; spans of a video, and s of each


def drawn(rng: np.random.Generator, traces: int, frames: int) -> tuple[dict, dict]:
    """Predictions and references."""
    predictions, references = {}, {}
    times, end = np.arange(frames) / FPS, frames / FPS
    for name in map(str, range(traces)):
        informative, relevance = rng.beta(0.5, 2, (2, frames))
        predictions[name] = Prediction(name, end, DuetTrace(times, informative, relevance))
        spans = [(start, start + SPAN, "") for start in np.sort(rng.uniform(0, end - SPAN, SPANS)).tolist()]
        references[name] = SimpleNamespace(video=name, spans=spans)
    return predictions, references


def plain(predictions: dict, candidates: list[Candidate], grids: list[np.ndarray]) -> list[np.ndarray]:
    """Responses of each candidate at each threshold: one frame after the other."""
    counts = []
    for candidate, grid in zip(candidates, grids, strict=True):
        count = np.zeros((len(predictions), len(grid)), dtype=int)
        for row, prediction in enumerate(predictions.values()):
            for column, threshold in enumerate(grid):
                policy = candidate.policy(threshold)
                count[row, column] = sum(policy.need(scores) for scores in prediction.trace.scores())
        counts.append(count)
    return counts


def main(
    traces: Annotated[int, typer.Option(help="Traces.")] = 1000,
    frames: Annotated[int, typer.Option(help="Frames of each.")] = 300,
    thresholds: Annotated[int, typer.Option(help="Thresholds of each policy.")] = 200,
    plain_traces: Annotated[int, typer.Option("--plain", min=2, help="Traces of the plain loop.")] = 4,
    repeats: Annotated[int, typer.Option(help="Runs, of which the median counts.")] = 5,
    seed: int = 0,
) -> None:
    """Print the table."""
    predictions, references = drawn(np.random.default_rng(seed), traces, frames)
    few = dict(list(predictions.items())[:plain_traces])
    spans = {name: item.spans for name, item in references.items()}
    calibrate(few, references, Target("f1"), thresholds=2)  # imports
    print("| policies | here, s | plain, s | plain / here |")
    print("| --- | --- | --- | --- |")
    for modes in (("threshold",), MODES):
        candidates = candidates_for(HEADS, modes)
        here, _ = timed(
            lambda kinds=candidates: calibrate(
                predictions, references, Target("f1"), candidates=kinds, thresholds=thresholds
            ),
            repeats,
        )
        grids = [fine_thresholds(each.policy(0.0), [p.trace for p in few.values()], thresholds) for each in candidates]
        beside, counts = timed(lambda kinds=candidates, grids=grids: plain(few, kinds, grids), 1)
        for candidate, grid, count in zip(candidates, grids, counts, strict=True):
            assert (sweep(few, spans, candidate.policy(0.0), grid.tolist()).responses == count).all()
        beside *= traces / 2 / plain_traces
        what = f"{', '.join(modes)}: {len(candidates)} policies, {traces:,} traces of {frames} frames"
        print(f"| {what} | {here:.2f} | {beside:.0f} | {beside / here:.0f} |")


if __name__ == "__main__":
    typer.run(main)
