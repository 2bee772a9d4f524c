"""Let the disk be full at random moments of a run, give it room, run the same again, and compare.

    sudo python perf/full_disk.py [--points 20] [--jobs predict train …] [--seed 0]

Each run writes to a memory file system (Linux, which root alone may mount) of a random size, too small for all of it.
It must end with an error of one sentence. Then the file system gets room, and the same run must end as one that had
room from the beginning. The table states, for each job: runs whose disk was full, runs that ended well all the same or
in another error, results that differ, files that are left. The status is 1 unless the last three are 0.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import kills  # first: it sets the environment
import torch
from kills_training import write_config
from safetensors.torch import load_file

from mmduet.data.scenes import make_scenes
from mmduet.errors import DuetError
from mmduet.training.config import read_config, run_config

ROOM = "200m"


@dataclass
class Tally:
    """What came of a job's full disks."""

    full: int = 0
    unnoticed: int = 0
    different: int = 0
    files: int = 0


def train(scenes: Path, configs: Path, folder: Path) -> None:
    """Three epochs of `tiny` with dropout; the config lies where there is room."""
    read = read_config(write_config(configs, scenes, "run", 0))
    features = read.features.model_copy(update={"folder": folder / "features"})
    run_config(read.model_copy(update={"output": folder / "run", "features": features}))


def trained(folder: Path) -> object:
    """Losses, tensors and names of files; a run that resumes keeps other checkpoints."""
    newest = max(folder.glob("run/checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    history = json.loads((newest / "trainer_state.json").read_text())["log_history"]
    losses = [{name: value for name, value in row.items() if "loss" in name} for row in history]
    tensors = {path.name: load_file(path) for path in sorted(folder.rglob("run/adapter/*.safetensors"))}
    shown = {file: {name: tensor.tolist() for name, tensor in all_.items()} for file, all_ in tensors.items()}
    names = [path.name for path in sorted(folder.rglob("*")) if "checkpoint-" not in str(path)]
    return names, json.loads((folder / "run/run.json").read_text()), losses, shown


@contextmanager
def disk(folder: Path, size: str):
    """A file system of so many bytes."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def attempt(job: kills.Job, folder: Path) -> str:
    """Run the job in a process of its own: what it ended in, nothing if it ended well."""
    reader, writer = os.pipe()
    if not (child := os.fork()):
        told = "the process died"
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            job.run(folder)
            told = ""
        except BaseException as error:
            told = f"{'DuetError' if isinstance(error, DuetError) else type(error).__name__}: {error}"
        finally:
            os.write(writer, told.encode()[:4000])
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


def try_job(job: kills.Job, root: Path, points: int, rng: random.Random) -> Tally:
    """Fill the disk of a job's runs, finish them, compare."""
    tally, folder = Tally(), root / "disk"
    with disk(folder, ROOM):
        if told := attempt(job, folder):
            raise SystemExit(f"{job.name} failed with room: {told}")
        expected, status = kills.result_of(job, folder), os.statvfs(folder)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
    for _ in range(points):
        size = max(4096, int(rng.random() * used))
        with disk(folder, str(size)):
            told = attempt(job, folder)
            tally.full += 1
            if not told.startswith("DuetError: ") or "\n" in told:
                tally.unnoticed += 1
                print(f"{job.name}, {size} of {used} bytes: {told or 'nothing was noticed'}", file=sys.stderr)
            subprocess.run(["mount", "-o", f"remount,size={ROOM}", folder], check=True)
            if told := attempt(job, folder):
                raise SystemExit(f"{job.name} failed with room again: {told}")
            if (found := kills.result_of(job, folder)) != expected:
                tally.different += 1
                print(f"{job.name}, {size} bytes: {kills.difference(found, expected)}", file=sys.stderr)
            tally.files += sum(path.name.startswith(".") for path in folder.rglob("*"))
    return tally


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=20, help="of each job")
    parser.add_argument("--jobs", nargs="*", default=["predict", "train", "judge", "report"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=Path("datasets"), help="folder that holds scenes/, or gets it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng, bad = random.Random(options.seed), 0
    print(f"{'job':10} {'full':>6} {'unnoticed':>9} {'different':>9} {'files left':>10}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        scenes = make_scenes(options.data, train=3, val=1, test=0)
        jobs = [*kills.all_jobs(root), kills.Job("train", partial(train, scenes, root), trained)]
        for job in jobs:
            if job.name in options.jobs:
                tally = try_job(job, root, options.points, rng)
                bad += tally.unnoticed + tally.different + tally.files
                print(
                    f"{job.name:10} {tally.full:6} {tally.unnoticed:9} {tally.different:9} {tally.files:10}", flush=True
                )
    raise SystemExit(bad > 0)


if __name__ == "__main__":
    main()
