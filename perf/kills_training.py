"""SIGKILL at random moments of training: the result of the resumed run, and leftover files and processes.

    python perf/kills_training.py
    python perf/kills_training.py --kills 200 --seed 1

Trains `tiny` for three epochs with dropout, without workers and with two. Each run is a process that is killed at
random moments, alone or with its workers, and started again. After some kills it is left to end. Its output is then
compared with that of an uninterrupted run. The process is a fork of this one, so that it starts at once.
"""

import json
import os
import random
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import psutil
import torch
import typer
import yaml
from campaign import members  # sets the environment, too
from safetensors.torch import load_file

from mmduet.data.scenes import make_scenes
from mmduet.training.config import read_config, run_config

RECIPE = {
    "epochs": 3, "align_iterations": 3, "lora": {"r": 4, "alpha": 8, "dropout": 0.3}, "learning_rate": 1e-3,
    "projector_learning_rate": 1e-3, "head_learning_rate": 1e-3, "batch_size": 2, "eval_every": 5, "log_every": 1,
    "save_every": 2,
}  # fmt: skip
KILLS_A_RUN = 5
TEMPORARY = "tmp"
PATIENCE = 10.0  # s in which the processes of a killed run must end
EXPECTED = {"adapter", "run.json"}  # and checkpoints


@dataclass
class Tally:
    """Results of the runs with a number of workers.

    Attributes:
        kills: Kills of a running process.
        finished: Runs that ended well.
        equal: Runs whose losses and adapter equal those of the uninterrupted run.
        difference: Largest difference of two losses.
        left: Leftover files and processes.
    """

    kills: int = 0
    finished: int = 0
    equal: int = 0
    difference: float = 0.0
    left: list[str] = field(default_factory=list)


def write_config(folder: Path, scenes: Path, name: str, workers: int) -> Path:
    """Write a config of a short run, whose output is folder/name."""
    content = {
        "output": str(folder / name),
        "model": {"base": "tiny"},
        "data": {"train": str(scenes / "annotations/train_mixture.json")},
        "features": {"folder": str(folder / "features")},
        "recipe": RECIPE | {"workers": workers},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def start(config: Path, result: Path) -> int:
    """Train in a new process with its own session, which writes its losses to `result`; returns its id."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.setsid()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        trained = run_config(read_config(config))
        losses = [row["loss"] for row in trained.history if "loss" in row]
        result.write_text(json.dumps([*trained.alignment, *losses]))
        status = 0
    finally:
        os._exit(status)


def end(process: int) -> bool:
    """Wait for a process; returns whether it ended well."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def kill_after(process: int, seconds: float, *, group: bool) -> bool:
    """Send SIGKILL after some time to the process or its session; returns whether it was still running."""
    try:
        psutil.Process(process).wait(seconds)
        return False
    except psutil.TimeoutExpired:
        own_group = os.getpgid(process) == process  # otherwise it has none yet
        (os.killpg if group and own_group else os.kill)(process, signal.SIGKILL)
        os.waitpid(process, 0)
        return True


def left_over(sessions: list[int], output: Path, temporary: Path) -> list[str]:
    """Processes of killed runs that do not end in time, and files that a finished run must not leave."""
    deadline = time.monotonic() + PATIENCE
    while (left := _processes(sessions) + _files(output, temporary)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _processes(sessions: list[int]) -> list[str]:
    return [f"process {process.pid}" for session in sessions for process in members(session)]


def _files(output: Path, temporary: Path) -> list[str]:
    kept = [path for path in output.iterdir() if path.name not in EXPECTED and not path.name.startswith("checkpoint-")]
    hidden = [path for folder in (output, output.parent / "features") for path in folder.rglob(".*")]
    return [str(path) for path in {*kept, *hidden, *temporary.iterdir()}]


def killed_run(config: Path, kills: int, seconds: float, draw: random.Random, tally: Tally) -> list[float]:
    """Kill a run several times, then let it end; returns its losses."""
    result, sessions = config.with_suffix(".losses"), []
    for _ in range(kills):
        sessions.append(start(config, result))
        tally.kills += kill_after(sessions[-1], draw.uniform(0, seconds), group=draw.random() < 0.5)
    tally.finished += end(start(config, result))
    tally.left += left_over(sessions, config.with_suffix(""), config.parent / TEMPORARY)
    return json.loads(result.read_text())


def same_tensors(output: Path, other: Path) -> bool:
    """Whether two runs' adapters are equal."""
    first, second = (load_file(folder / "adapter/adapter_model.safetensors") for folder in (output, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def campaign(folder: Path, scenes: Path, workers: int, kills: int, seed: int) -> Tally:
    """Kill runs with a number of workers until the number of kills is reached."""
    temporary = folder / TEMPORARY
    temporary.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    uninterrupted = write_config(folder, scenes, f"uninterrupted-{workers}", workers)
    began = time.monotonic()
    assert end(start(uninterrupted, uninterrupted.with_suffix(".losses"))), "the uninterrupted run failed"
    seconds, wanted = time.monotonic() - began, json.loads(uninterrupted.with_suffix(".losses").read_text())
    draw, tally, runs = random.Random(seed), Tally(), 0
    while tally.kills < kills:
        config = write_config(folder, scenes, f"killed-{workers}-{runs}", workers)
        runs += 1
        losses = killed_run(config, min(KILLS_A_RUN, kills - tally.kills), seconds, draw, tally)
        apart = max(abs(one - other) for one, other in zip(losses, wanted, strict=True))
        tally.difference = max(tally.difference, apart)
        tally.equal += apart <= 1e-5 and same_tensors(config.with_suffix(""), uninterrupted.with_suffix(""))
    return tally


def main(
    kills: Annotated[int, typer.Option(help="Kills for each number of workers.")] = 40,
    seed: Annotated[int, typer.Option(help="Seed of the moments.")] = 0,
    data: Annotated[Path, typer.Option(help="Folder that holds scenes/, or gets it.")] = Path("datasets"),
) -> None:
    """Print a table; exit with status 1 if a run differs or leaves something."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder, scenes = Path(name), make_scenes(data, train=3, val=1, test=0)
        tallies = {workers: campaign(folder, scenes, workers, kills, seed) for workers in (0, 2)}
    print("| workers | kills | runs finished | equal | losses differ by | leftovers |\n|" + " --- |" * 6)
    for workers, tally in tallies.items():
        print(
            f"| {workers} | {tally.kills} | {tally.finished} | {tally.equal} | {tally.difference:.1e} | "
            f"{', '.join(tally.left) or 'nothing'} |"
        )
    raise typer.Exit(any(tally.left or tally.equal < tally.finished for tally in tallies.values()))


if __name__ == "__main__":
    typer.run(main)
