"""Kill runs with SIGKILL at random moments, run them again, and compare with an uninterrupted run.

    python perf/kills.py [--kills 20] [--jobs predict scan …] [--seed 0]

Each job runs in a process that is forked from this one, so that a kill costs no imports. A run is killed up to three
times before it may end. The table states for each job: killed runs, results that differ from the uninterrupted run (the
same files with the same bytes), files and processes that are left. The status is 1 unless the last three are 0.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from campaign import CHANGING, Table, difference, members  # first: it sets the environment

# isort: split
import av
import decord  # noqa: F401  (once, and not in every process)
import numpy as np
import psutil
import torch
from safetensors.torch import load_file

from mmduet.checkpoints import build_tiny
from mmduet.data.feature_cache import FeatureCache
from mmduet.data.metadata import scan_videos
from mmduet.data.scenes import make_scenes
from mmduet.evaluation.benchmark import Question, Settings
from mmduet.evaluation.judges import Pair, Rating, rate
from mmduet.evaluation.predict import predict
from mmduet.trace import Query

VIDEOS = 4


@dataclass(frozen=True)
class Job:
    """A kind of run.

    `run` does the work in a folder. `result` reads what must be equal from that folder; None for all files.
    `is_launched`: its processes are killed together, as a launcher does it.
    """

    name: str
    run: Callable[[Path], None]
    result: Callable[[Path], object] | None = None
    is_launched: bool = False


# jobs


def write_videos(folder: Path) -> None:
    """Clips of 2 s of noise."""
    folder.mkdir()
    for number in range(VIDEOS):
        rng = np.random.default_rng(number)
        with av.open(str(folder / f"{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=12)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for _ in range(24):
                image = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())


def ask(videos: Path, model, folder: Path) -> None:
    """`predict` 8 questions, two of which fail."""
    names = [f"{number}.mp4" for number in range(VIDEOS)] * 2
    names[3], names[5] = "none.mp4", "../out.mp4"
    questions = [Question(n, name, (Query(0.0, f"What is {n}?"),)) for n, name in enumerate(names)]
    predict(*model, questions, videos, folder / "p.jsonl", settings=Settings(2.0, threshold=0.4, max_new_tokens=4))


def ask_with_two(videos: Path, model, folder: Path) -> None:
    """`predict` by two processes."""
    port = str(20_000 + os.getpid() % 40_000)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    second = os.fork()
    rank = "0" if second else "1"
    os.environ |= {"RANK": rank, "LOCAL_RANK": rank}
    if not second:
        end_with(partial(ask, videos, model, folder))
    ask(videos, model, folder)
    if os.waitpid(second, 0)[1]:
        raise SystemExit("the second process failed")


def cache_features(videos: Path, model, folder: Path) -> None:
    """Vision features of all clips."""
    store = FeatureCache(folder / "features", *model)
    for path in sorted(videos.iterdir()):
        store.read(path, 2.0, 0, 1)


def features_of(folder: Path) -> object:
    """The tensors: their files' headers are in any order."""
    files = sorted((folder / "features").glob("*.safetensors"))
    names = sorted(path.name for path in folder.rglob("*"))
    return names, [load_file(path)["features"].tolist() for path in files]


class Grader:
    """A judge that takes its time."""

    identity = "grader"

    def ask(self, asked):
        for texts in asked:
            yield texts, Rating(3, "3")


def judge(folder: Path) -> None:
    """400 answers into a cache."""
    pairs = [Pair(f"q{n}", (0,), (0,), ("What?", "A cat.", f"reply {n}")) for n in range(400)]
    rate(pairs, Grader(), cache=folder / "cache.jsonl")


def report(suite: Path, folder: Path) -> None:
    """A suite of two notebooks."""
    from mmduet.reports import run_suite

    if failed := run_suite(suite, output=folder / "reports").failed:
        raise SystemExit(f"{failed} failed")


def report_result(folder: Path) -> object:
    """The files, and the pages but for what differs from run to run: times and a page's nonce."""
    records = [json.loads(path.read_text()) for path in sorted((folder / "reports").glob("*.json"))]
    shown = [(record["run"], record["status"], record["metrics"]) for record in records]
    pages = [CHANGING.sub("", path.read_text()) for path in sorted((folder / "reports").glob("*.html"))]
    return sorted(path.name for path in folder.rglob("*")), shown, pages


def write_suite(folder: Path) -> Path:
    """The suite's file, with its notebooks."""
    import nbformat

    (folder / "notebooks").mkdir()
    cells = [nbformat.v4.new_code_cell("steps: int = 1  # how many", metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell("print(steps)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notebooks" / "n.ipynb")
    runs = "".join(f"  - {{name: {name}, notebook: notebooks/n.ipynb}}\n" for name in "ab")
    (folder / "suite.yaml").write_text(f"name: kills\ntitle: Kills\nruns:\n{runs}")
    return folder / "suite.yaml"


def all_jobs(folder: Path) -> list[Job]:
    """Every kind of run, with its inputs written to `folder`."""
    videos, model = folder / "videos", build_tiny()
    write_videos(videos)
    suite = write_suite(folder)
    return [
        Job("predict", partial(ask, videos, model)),
        Job("predict-2", partial(ask_with_two, videos, model), is_launched=True),
        Job("scan", lambda place: scan_to(videos, place, 1)),
        Job("scan-2", lambda place: scan_to(videos, place, 2)),
        Job("scenes", lambda place: scenes_to(place, 1)),
        Job("scenes-2", lambda place: scenes_to(place, 2)),
        Job("features", partial(cache_features, videos, model), features_of),
        Job("judge", judge),
        Job("report", partial(report, suite), report_result),
    ]


def scan_to(videos: Path, folder: Path, workers: int) -> None:
    """Metadata of all clips."""
    scan_videos(videos, folder / "metadata.json", workers=workers)


def scenes_to(folder: Path, workers: int) -> None:
    """A small data set."""
    make_scenes(folder, train=2, val=1, test=1, workers=workers)


# kills


def end_with(action: Callable[[], None]) -> None:
    """Do the work and leave this process without the exit handlers of its parent."""
    status = 1
    try:
        action()
        status = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def start(job: Job, folder: Path) -> psutil.Process:
    """Start the job in a new process."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.setsid()
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        end_with(partial(job.run, folder))
    return psutil.Process(child)


def finish(process: psutil.Process) -> None:
    """Wait for a run that must end well."""
    if os.waitpid(process.pid, 0)[1]:
        raise SystemExit("a run that was not killed failed")


def kill(process: psutil.Process, after: float, *, together: bool) -> tuple[bool, int]:
    """Kill a run after so many seconds: whether it was still running, and how many of its processes outlive it."""
    time.sleep(after)
    family = set(process.children(recursive=True))
    own_session = os.getsid(process.pid) == process.pid  # else the process has not made it yet
    (os.killpg if together and own_session else os.kill)(process.pid, signal.SIGKILL)
    killed = os.WIFSIGNALED(os.waitpid(process.pid, 0)[1])
    family |= set(members(process.pid))  # processes that were started meanwhile
    _, alive = psutil.wait_procs(family, timeout=20)
    for orphan in alive:
        orphan.kill()
    return killed, len(alive)


def result_of(job: Job, folder: Path) -> object:
    """What must be equal in two runs."""
    if job.result is not None:
        return job.result(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def try_job(job: Job, root: Path, kills: int, rng: random.Random) -> Counter[str]:
    """Kill a job's runs, finish them, and compare."""
    complete, counts = root / f"{job.name}-complete", Counter()
    complete.mkdir()
    began = time.monotonic()
    finish(start(job, complete))
    seconds = time.monotonic() - began
    expected = result_of(job, complete)
    while counts["killed"] < kills:
        folder = root / f"{job.name}-{counts['killed']}-{rng.random()}"
        folder.mkdir()
        for _ in range(rng.randint(1, 3)):
            killed, left = kill(start(job, folder), rng.random() * seconds, together=job.is_launched)
            counts += {"killed": killed, "processes left": left}
        finish(start(job, folder))
        if (found := result_of(job, folder)) != expected:
            counts["different"] += 1
            print(f"{job.name}: {difference(found, expected)}", file=sys.stderr)
        counts["files left"] += sum(path.name.startswith(".") for path in folder.rglob("*"))
    return counts


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="of each job, at least")
    parser.add_argument("--jobs", nargs="*", help="names of jobs [default: all]")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(options.seed)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    table = Table("killed", "different", "files left", "processes left")
    with tempfile.TemporaryDirectory() as name:
        for job in all_jobs(Path(name)):
            if options.jobs and job.name not in options.jobs:
                continue
            table.add(job.name, try_job(job, Path(name), options.kills, rng))
    raise SystemExit(table.has_failed)


if __name__ == "__main__":
    main()
