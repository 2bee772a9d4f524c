"""Time of a training step of `mini` with cached vision features, compared with the same step from video.

    python perf/training.py
    python perf/training.py --full     # then the complete run of the config, too

Both ways train on the same conversations in the same order, in alternate runs. A step lasts from the previous step's
end to its own, loading included. The first step of each run warms up and is left out. Conversations differ in length,
so the same steps are compared: their sums, and each step with itself.
"""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from transformers import TrainerCallback

from mmduet import load_duet
from mmduet.data.feature_cache import FeatureCache
from mmduet.data.mixture import MixtureDataset
from mmduet.data.scenes import make_scenes
from mmduet.training import TrainingResult, train
from mmduet.training.config import TrainingConfig, read_config, run_config

RUNS = 4  # of each way


class Clock(TrainerCallback):
    """Seconds from each step's end to the next's."""

    def __init__(self):
        self.ends: list[float] = []

    def on_step_end(self, args, state, control, **kwargs):
        """Record the step's end."""
        self.ends.append(time.monotonic())

    def seconds(self) -> np.ndarray:
        """The duration of each step except the first."""
        return np.diff(self.ends)


def timed_run(
    config: TrainingConfig, data: Path, clips: int, steps: int, *, cached: bool, output: Path
) -> tuple[np.ndarray, list[float]]:
    """Seconds of each step, and its loss, of a new model with the config's recipe."""
    model, processor = load_duet(config.model.base)
    dataset = MixtureDataset(data / "scenes/annotations/train_mixture.json", videos=clips)
    features = FeatureCache(data / "features", model, processor) if cached else None
    clock = Clock()
    recipe = config.recipe.model_dump() | {
        "steps": steps + 1,
        "align_iterations": 0,
        "save_every": None,
        "log_every": 1,
    }
    result = train(
        model, processor, dataset, None, features, output=output, base=config.model.base, callbacks=[clock], **recipe
    )
    return clock.seconds(), [row["loss"] for row in result.history if "loss" in row]


def compare(config: TrainingConfig, data: Path, clips: int, steps: int) -> dict[str, np.ndarray]:
    """Seconds of all steps, with the cache and from video."""
    seconds: dict[str, list[np.ndarray]] = {"cache": [], "video": []}
    losses = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(RUNS):
            for way, found in seconds.items():
                took, losses[way] = timed_run(
                    config, data, clips, steps, cached=way == "cache", output=Path(folder) / way
                )
                found.append(took)
    print(f"largest difference between the two ways' losses: {np.abs(np.subtract(*losses.values())).max():.1e}")
    return {way: np.concatenate(found) for way, found in seconds.items()}


def main(
    name: Annotated[str, typer.Option("--config", help="Config whose model and recipe are used.")] = "scenes_mini",
    clips: Annotated[int, typer.Option(help="Training clips of scenes.")] = 24,
    steps: Annotated[int, typer.Option(help="Measured steps of each run.")] = 8,
    data: Annotated[Path, typer.Option(help="Folder that holds scenes/, or gets it.")] = Path("datasets"),
    full: Annotated[
        bool, typer.Option(help="Run the config from scratch to its end as well (about half an hour).")
    ] = False,
) -> None:
    """Print a table."""
    make_scenes(data, train=clips, val=0, test=0)
    config = read_config(name)
    seconds = compare(config, data, clips, steps)
    means = {way: float(np.mean(took)) for way, took in seconds.items()}
    print(f"| a step of {config.recipe.batch_size} conversations | mean | quartiles |\n| --- | --- | --- |")
    for way, took in seconds.items():
        low, high = np.percentile(took, [25, 75])
        print(f"| from {way} | {means[way]:.2f} s | {low:.2f} to {high:.2f} s |")
    shares = seconds["cache"] / seconds["video"]
    low, middle, high = np.percentile(shares, [25, 50, 75])
    print(
        f"\nfrom the cache all {len(shares)} steps together take {means['cache'] / means['video']:.0%} of the time from"
    )
    print(f"video; each step compared with itself {middle:.0%}, quartiles {low:.0%} to {high:.0%}")
    total = config.recipe.steps or 0
    print(f"{total} steps from the cache: {total * means['cache'] / 60:.1f} minutes, without alignment and evaluation")
    if full:
        print(complete_run(config, data).summary())


def complete_run(config: TrainingConfig, data: Path) -> TrainingResult:
    """The config from scratch, in a new folder, with a new feature cache."""
    make_scenes(data, train=240, val=24, test=0)
    folder = Path(tempfile.mkdtemp(prefix="scenes_mini-"))
    changed = {"output": folder / "run"}
    if config.features is not None:
        changed["features"] = config.features.model_copy(update={"folder": folder / "features"})
    return run_config(config.model_copy(update=changed))


if __name__ == "__main__":
    typer.run(main)
