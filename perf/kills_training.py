"""SIGKILL at random moments of training: what the same run gives in the end, and what it leaves behind.

    python perf/kills_training.py
    python perf/kills_training.py --kills 200 --seed 1

Trains `tiny` for three epochs with dropout, without workers and with two. Each run is a process that is killed at a
random moment, alone or with its workers, and started again; after some kills it may end. What it then wrote is
compared with that of a run that nobody interrupted. The process is a fork of this one, so that it starts at once.
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
from kills import members  # sets the environment, too
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
PATIENCE = 10.0  # s that the processes of a killed run may take to end
EXPECTED = {"adapter", "run.json"}  # and checkpoints


@dataclass
class Tally:
    """What came of the runs with so many workers. difference: the largest of two losses. left: files or processes."""

    kills: int = 0
    finished: int = 0
    equal: int = 0
    difference: float = 0.0
    left: list[str] = field(default_factory=list)


def write_config(folder: Path, scenes: Path, name: str, workers: int) -> Path:
    """A config of a short run, into folder/name."""
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
    """Train in a new process, a session of its own, that writes its losses to `result`; its id."""
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
    """Wait for a process; whether it ended well."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def kill_after(process: int, seconds: float, *, group: bool) -> bool:
    """SIGKILL after some time, to the process or to its session; whether it was still running."""
    try:
        psutil.Process(process).wait(seconds)
        return False
    except psutil.TimeoutExpired:
        own_group = os.getpgid(process) == process  # else the moment came before it had one
        (os.killpg if group and own_group else os.kill)(process, signal.SIGKILL)
        os.waitpid(process, 0)
        return True


def left_over(sessions: list[int], output: Path, temporary: Path) -> list[str]:
    """Processes of killed runs, and files in a finished run's folders that should not be there, after some time."""
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
    """Kill a run so often, then let it end; its losses."""
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
    """Kill runs with so many workers until there were so many kills."""
    temporary = folder / TEMPORARY
    temporary.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    whole = write_config(folder, scenes, f"whole-{workers}", workers)
    began = time.monotonic()
    assert end(start(whole, whole.with_suffix(".losses"))), "the uninterrupted run failed"
    seconds, wanted = time.monotonic() - began, json.loads(whole.with_suffix(".losses").read_text())
    draw, tally, runs = random.Random(seed), Tally(), 0
    while tally.kills < kills:
        config = write_config(folder, scenes, f"killed-{workers}-{runs}", workers)
        runs += 1
        losses = killed_run(config, min(KILLS_A_RUN, kills - tally.kills), seconds, draw, tally)
        apart = max(abs(one - other) for one, other in zip(losses, wanted, strict=True))
        tally.difference = max(tally.difference, apart)
        tally.equal += apart <= 1e-5 and same_tensors(config.with_suffix(""), whole.with_suffix(""))
    return tally


def main(
    kills: Annotated[int, typer.Option(help="With each number of workers.")] = 40,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
    data: Annotated[Path, typer.Option(help="Folder that holds scenes/, or gets it.")] = Path("datasets"),
) -> None:
    """Print a table; status 1 when a run differs or leaves something."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder, scenes = Path(name), make_scenes(data, train=3, val=1, test=0)
        tallies = {workers: campaign(folder, scenes, workers, kills, seed) for workers in (0, 2)}
    print("| workers | kills | runs finished | equal | losses differ by | left over |\n|" + " --- |" * 6)
    for workers, tally in tallies.items():
        print(
            f"| {workers} | {tally.kills} | {tally.finished} | {tally.equal} | {tally.difference:.1e} | "
            f"{', '.join(tally.left) or 'nothing'} |"
        )
    raise typer.Exit(any(tally.left or tally.equal < tally.finished for tally in tallies.values()))


if __name__ == "__main__":
    typer.run(main)
