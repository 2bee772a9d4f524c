"""Fill the disk at random moments of a run, give it room, run the same command again, and compare.

    sudo python perf/full_disk.py [--points 20] [--jobs predict train …] [--seed 0]

Each run writes to a memory file system of a random size that is too small (Linux; only root may mount it). It must end
with an error of one sentence. Then the file system gets room, and the same run must give the result of a run that had
room from the beginning. The table states for each job: runs with a full disk, runs that did not report it, results that
differ, files that are left. The status is 1 unless the last three are 0.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import kills  # first: it sets the environment
import torch
from campaign import Table, difference
from kills_training import write_config
from safetensors.torch import load_file

from mmduet.data.scenes import make_scenes
from mmduet.errors import DuetError
from mmduet.training.config import read_config, run_config

ROOM = "200m"


def train(scenes: Path, configs: Path, folder: Path) -> None:
    """Three epochs of `tiny` with dropout; the config lies where there is room."""
    read = read_config(write_config(configs, scenes, "run", 0))
    features = read.features.model_copy(update={"folder": folder / "features"})
    run_config(read.model_copy(update={"output": folder / "run", "features": features}))


def trained(folder: Path) -> object:
    """Losses, tensors and names of files, without checkpoints: a run that resumes keeps other ones."""
    newest = max(folder.glob("run/checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    history = json.loads((newest / "trainer_state.json").read_text())["log_history"]
    losses = [{name: value for name, value in row.items() if "loss" in name} for row in history]
    tensors = {path.name: load_file(path) for path in sorted(folder.rglob("run/adapter/*.safetensors"))}
    shown = {file: {name: tensor.tolist() for name, tensor in all_.items()} for file, all_ in tensors.items()}
    names = [path.name for path in sorted(folder.rglob("*")) if "checkpoint-" not in str(path)]
    return names, json.loads((folder / "run/run.json").read_text()), losses, shown


@contextmanager
def disk(folder: Path, size: str):
    """Mount a file system of so many bytes."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def attempt(job: kills.Job, folder: Path) -> str:
    """Run the job in a new process; its error, or nothing if it ended well."""
    reader, writer = os.pipe()
    if not (child := os.fork()):
        ending = "the process died"
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            job.run(folder)
            ending = ""
        except BaseException as error:
            ending = f"{'DuetError' if isinstance(error, DuetError) else type(error).__name__}: {error}"
        finally:
            os.write(writer, ending.encode()[:4000])
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        ending = pipe.read()
    os.waitpid(child, 0)
    return ending


def try_job(job: kills.Job, root: Path, points: int, rng: random.Random) -> Counter[str]:
    """Fill the disk of a job's runs, finish them, and compare."""
    counts, folder = Counter(), root / "disk"
    with disk(folder, ROOM):
        if error := attempt(job, folder):
            raise SystemExit(f"{job.name} failed with room: {error}")
        expected, status = kills.result_of(job, folder), os.statvfs(folder)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
    for _ in range(points):
        size = max(4096, int(rng.random() * used))
        with disk(folder, str(size)):
            error = attempt(job, folder)
            counts["full"] += 1
            if not error.startswith("DuetError: ") or "\n" in error:
                counts["unnoticed"] += 1
                print(f"{job.name}, {size} of {used} bytes: {error or 'no error'}", file=sys.stderr)
            subprocess.run(["mount", "-o", f"remount,size={ROOM}", folder], check=True)
            if error := attempt(job, folder):
                raise SystemExit(f"{job.name} failed after it got room: {error}")
            if (found := kills.result_of(job, folder)) != expected:
                counts["different"] += 1
                print(f"{job.name}, {size} bytes: {difference(found, expected)}", file=sys.stderr)
            counts["files left"] += sum(path.name.startswith(".") for path in folder.rglob("*"))
    return counts


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=20, help="of each job")
    parser.add_argument("--jobs", nargs="*", default=["predict", "train", "judge", "report"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=Path("datasets"), help="folder that holds scenes/, or gets it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng, table = random.Random(options.seed), Table("full", "unnoticed", "different", "files left")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        scenes = make_scenes(options.data, train=3, val=1, test=0)
        jobs = [*kills.all_jobs(root), kills.Job("train", partial(train, scenes, root), trained)]
        for job in jobs:
            if job.name in options.jobs:
                table.add(job.name, try_job(job, root, options.points, rng))
    raise SystemExit(table.has_failed)


if __name__ == "__main__":
    main()
