"""How much slower a session is while one other process computes, with torch's threads waiting in several ways.

    python perf/busy.py                               # mini on a clip of scenes: as the package sets it, and without
    python perf/busy.py --rounds 9 --spins 2000       # also with GOMP_SPINCOUNT=2000

Each way has a process of its own, which has loaded the model before. Rounds watch the clip once each way and turn, idle
and busy; medians count. "busy" is one process that computes without end on any core. The status is 1 if the package's
own way takes more than 1.6 times its idle time, or is slower than torch's own way on an idle machine by more than 5 %.
Run it on a machine that does nothing else: `load` is the 1-minute load average before the first round.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
OWN, TORCH = "package", "torch's own"
MOST_SLOWED, MOST_SLOWER = 1.6, 1.05
WATCH = """
import sys, time
from mmduet import DuetSession, Query, ScoreThreshold, load_duet, read_frames
model, processor = load_duet("mini")
frames = read_frames(sys.argv[1], fps=2, size=processor.frame.fit, max_frames=int(sys.argv[2])).frames
session = DuetSession(model, processor, policy=ScoreThreshold(0.5), frame_fps=2)
queries = [Query(0.0, "Please concisely narrate the video in real time.")]
session.run(frames, queries)
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    trace = session.run(frames, queries)
    print(time.perf_counter() - start, len(trace), len(trace.responses), flush=True)
"""


class Watcher:
    """A process that watches a clip whenever it is told to."""

    def __init__(self, clip: Path, frames: int, settings: dict[str, str]):
        environment = {name: value for name, value in os.environ.items() if name not in SETTINGS} | settings
        self.process = subprocess.Popen(
            [sys.executable, "-c", WATCH, str(clip), str(frames)], env=environment, text=True, stdin=-1, stdout=-1
        )
        assert self._line() == "ready", "the session failed"

    def watch(self) -> float:
        """Seconds of one run."""
        print(file=self.process.stdin, flush=True)
        return float(self._line().split()[0])

    def close(self) -> None:
        self.process.communicate()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def busy_process() -> Iterator[None]:
    """One process that computes without end."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each way, idle and busy.")] = 5,
    frames: Annotated[int, typer.Option(min=1, help="Frames of the clip, at most.")] = 60,
    spins: Annotated[list[int] | None, typer.Option(help="Also this GOMP_SPINCOUNT; may be repeated.")] = None,
) -> None:
    """Print a table, and say whether the package's way holds."""
    from mmduet.data.scenes import make_scenes

    # as libgomp spins where nothing is set: about 3 ms (initialize_env in libgomp, env.c)
    ways = {
        OWN: {},
        TORCH: {"GOMP_SPINCOUNT": "300000"},
        **{f"{n} spins": {"GOMP_SPINCOUNT": str(n)} for n in spins or []},
    }
    load = os.getloadavg()[0]
    seconds: dict[tuple[str, str], list[float]] = {}
    with TemporaryDirectory() as folder, ExitStack() as stack:
        clip = next(iter(sorted((make_scenes(folder, train=0, val=0, test=1) / "videos/test").glob("*.mp4"))))
        watchers = {name: Watcher(clip, frames, settings) for name, settings in ways.items()}
        for watcher in watchers.values():
            stack.callback(watcher.close)
        for _ in range(rounds):
            for name, watcher in watchers.items():
                seconds.setdefault((name, "idle"), []).append(watcher.watch())
                with busy_process():
                    seconds.setdefault((name, "busy"), []).append(watcher.watch())
    medians = {key: median(values) for key, values in seconds.items()}
    print(f"load {load:.2f}, {os.cpu_count()} cores, medians of {rounds}, s")
    for name in ways:
        idle, busy = medians[name, "idle"], medians[name, "busy"]
        print(f"  {name:12} idle {idle:5.2f}   busy {busy:5.2f}   {busy / idle:4.2f} ×")
    slowed = medians[OWN, "busy"] / medians[OWN, "idle"]
    slower = medians[OWN, "idle"] / medians[TORCH, "idle"]
    print(f"busy / idle {slowed:.2f} (at most {MOST_SLOWED}); idle / torch's own {slower:.2f} (at most {MOST_SLOWER})")
    raise typer.Exit(int(slowed > MOST_SLOWED or slower > MOST_SLOWER))


if __name__ == "__main__":
    typer.run(main)
