"""Kill workers, schedulers and `mmduet report` at random moments of suites, run them again, and check every report.

    python perf/kills_suites.py [--kills 30] [--jobs scheduler workers report] [--seed 0]

Each job runs a suite of short notebooks on two workers, with steps that others need. `workers` kills workers, `report`
kills `mmduet report --workers`, `scheduler` kills a scheduler that `mmduet report --scheduler` uses. What was killed is
started again until all runs are done. The table states for each job: kills, runs that are not done or have the page or
files of another, runs that were made again although they were done, files that are left, and processes that are left.
The status is 1 unless the last four are 0.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from campaign import Table  # first: it sets the environment

# isort: split
import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

RUNS, STEPS, SECONDS = 6, 2, 1.0
PATIENCE = 300.0  # s for a command to end


def write_suite(folder: Path) -> Path:
    """Steps, and runs after them. Each writes its own name into its `{output}`, slowly."""
    (folder / "notebooks").mkdir()
    cells = [
        new_markdown_cell("# A run"),
        new_code_cell("name: str = ''\nwhere: str = ''\nneeded: str = ''", metadata={"tags": ["parameters"]}),
        new_code_cell("import time\nfrom pathlib import Path\n\nPath(where).mkdir(parents=True, exist_ok=True)"),
        new_code_cell(f"for _ in range(10):\n    time.sleep({SECONDS / 10})"),
        new_code_cell("assert not needed or Path(needed, 'name').read_text()\nPath(where, 'name').write_text(name)"),
        new_code_cell("print(f'this is {name}')"),
    ]
    nbformat.write(new_notebook(cells=cells), folder / "notebooks" / "n.ipynb")
    lines = [
        f"  - {{name: step{n}, notebook: notebooks/n.ipynb, parameters: {parameters(f'step{n}')}}}"
        for n in range(STEPS)
    ]
    for number in range(RUNS - STEPS):
        step, name = f"step{number % STEPS}", f"run{number}"
        given = parameters(name, f"{{output:{step}}}")
        lines.append(f"  - {{name: {name}, notebook: notebooks/n.ipynb, after: [{step}], parameters: {given}}}")
    path = folder / "suite.yaml"
    path.write_text("\n".join(["name: kills", "title: Kills", "runs:", *lines]) + "\n")
    return path


def parameters(name: str, needed: str = "") -> str:
    """The parameters of a run, in YAML."""
    return json.dumps({"name": name, "where": "{output}", "needed": needed})


class Command:
    """A command in a session of its own, whose output goes to a file."""

    def __init__(self, log: Path, *words: str):
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words], stdout=file, stderr=file, start_new_session=True
            )
        self.family: set[psutil.Process] = set()

    def look(self) -> set[psutil.Process]:
        """The process and all that it started and that live."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.process.pid)
            self.family |= {process, *process.children(recursive=True)}
        return {process for process in self.family if alive(process)}

    def kill(self) -> None:
        """Kill the process itself."""
        self.look()
        self.process.kill()
        self.process.wait()


def alive(process: psutil.Process) -> bool:
    """Whether a process has not ended."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def workers_of(command: Command) -> list[psutil.Process]:
    """The processes of Dask's workers among those that a command started."""
    found = []
    for process in command.look():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
    return found


class Round:
    """One suite that is killed and started again until it is done."""

    def __init__(self, job: str, suite: Path, folder: Path, rng: random.Random):
        self.job, self.suite, self.folder, self.rng = job, suite, folder, rng
        self.counts: Counter[str] = Counter()
        self.commands: list[Command] = []
        self.seen: dict[str, str] = {}
        self.port = 20_000 + rng.randrange(20_000)

    def start(self, *words: str) -> Command:
        """Start a command of this round."""
        command = Command(self.folder.with_suffix(".log"), *words)
        self.commands.append(command)
        return command

    def report(self) -> Command:
        """Start `mmduet report`."""
        where = ["--scheduler", self.address] if self.job == "scheduler" else ["--workers", "2"]
        return self.start("mmduet", "report", str(self.suite), "--output", str(self.folder), *where)

    @property
    def address(self) -> str:
        """The scheduler's address."""
        return f"tcp://127.0.0.1:{self.port}"

    def start_cluster(self) -> list[Command]:
        """A scheduler and two workers, as somebody else would start them."""
        self.port += 1
        words = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        scheduler = self.start(*words)
        worker = [
            "distributed.cli.dask_worker",
            self.address,
            "--nthreads",
            "1",
            "--no-dashboard",
            "--death-timeout",
            "30",
        ]
        return [scheduler, *(self.start(*worker, "--local-directory", str(self.folder.parent)) for _ in range(2))]

    def play(self, kills: int) -> None:
        """Kill so many times, then let the suite end."""
        cluster = self.start_cluster() if self.job == "scheduler" else []
        report = self.report()
        while self.counts["killed"] < kills:
            self.wait_for(report, self.rng.uniform(0.5, 4.0), begun=True)
            if report.process.poll() is not None:
                if self.is_done:
                    break
                report = self.report()
                continue
            report.look()
            self.strike(report, cluster)
            if self.job == "scheduler":
                report.process.wait(PATIENCE)
                cluster = self.start_cluster()
            if self.job != "workers":
                self.remember()
                report = self.report()
        for _ in range(3):
            report.process.wait(PATIENCE)
            if self.is_done:
                break
            report = self.report()
        for command in cluster:
            command.look()
            command.process.terminate()
        for command in cluster:
            command.process.wait(PATIENCE)
        self.check()

    def strike(self, report: Command, cluster: list[Command]) -> None:
        """Kill what this job kills."""
        if self.job == "report":
            report.kill()
        elif self.job == "scheduler":
            for command in cluster:
                command.look()
            cluster[0].kill()
        else:
            victims = workers_of(report)
            if not victims:
                return
            with suppress(psutil.NoSuchProcess):
                self.rng.choice(victims).kill()
        self.counts["killed"] += 1

    def wait_for(self, command: Command, seconds: float, *, begun: bool) -> None:
        """Wait until a run has begun, and then for some seconds, or until the command ends."""
        mark = command.log.stat().st_size if begun else 0
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and command.process.poll() is None:
            command.look()
            with command.log.open("rb") as file:
                file.seek(0 if self.job == "workers" else mark)
                if b"(at tcp" in file.read():
                    break
            time.sleep(0.1)
        until = time.monotonic() + seconds
        while time.monotonic() < until and command.process.poll() is None:
            command.look()
            time.sleep(0.05)

    @property
    def is_done(self) -> bool:
        """Whether every run has a good report."""
        return len(self.records()) == RUNS

    def records(self) -> dict[str, dict]:
        """The good records by the name of their file."""
        found = {}
        for path in self.folder.glob("*.json"):
            record = json.loads(path.read_text())
            if record["status"] == "done":
                found[path.stem] = record
        return found

    def remember(self) -> None:
        """Note which runs are done, and when they started: that must not change."""
        for name, record in self.records().items():
            if self.seen.setdefault(name, record["started"]) != record["started"]:
                self.counts["again"] += 1

    def clear(self) -> None:
        """End everything that this round started."""
        for command in self.commands:
            for process in command.look():
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    def check(self) -> None:
        """Count what is wrong."""
        self.remember()
        records = self.records()
        self.counts["wrong"] += RUNS - len(records)
        for name, record in records.items():
            page = (self.folder / f"{name}.html").read_text()
            own = (self.folder / name / "name").read_text()
            log = (self.folder / record["log"]).read_text()
            good = f"this is {name}" in page and own == record["run"] == name and f"this is {name}" in log
            self.counts["wrong"] += not good
        self.counts["again"] += len(list((self.folder / "history").glob("*.html")))
        processes = {process for command in self.commands for process in command.family}
        _, left = psutil.wait_procs([process for process in processes if alive(process)], timeout=30)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                print(f"left: {process.pid} {process.cmdline()}", file=sys.stderr)
                process.kill()
        self.counts["processes left"] += len(left)
        hidden = [
            path for path in self.folder.rglob("*") if path.name.startswith(".") or path.name.endswith(".running.log")
        ]
        self.counts["files left"] += len(hidden) + len(list(self.folder.glob("*.failed.*")))
        if any(self.counts[name] for name in ("wrong", "again", "files left")):
            print(f"{self.folder}: {dict(self.counts)} {sorted(records)} {hidden}", file=sys.stderr)
            print(self.folder.with_suffix(".log").read_text()[-5000:], file=sys.stderr)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="of each job, at least [30]")
    parser.add_argument("--jobs", nargs="*", default=["scheduler", "workers", "report"], help="what is killed [all]")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    os.environ["PYTHONUNBUFFERED"] = "1"
    signal.signal(signal.SIGINT, signal.default_int_handler)
    table = Table("killed", "wrong", "again", "files left", "processes left")
    with tempfile.TemporaryDirectory() as name:
        suite = write_suite(Path(name))
        for job in options.jobs:
            counts: Counter[str] = Counter()
            while counts["killed"] < options.kills:
                folder = Path(name) / f"{job}-{counts['killed']}"
                folder.mkdir()
                attempt = Round(job, suite, folder, rng)
                try:
                    attempt.play(min(rng.randint(1, 4), options.kills - counts["killed"]))
                finally:
                    attempt.clear()
                counts += attempt.counts
            table.add(job, counts)
    raise SystemExit(table.has_failed)


if __name__ == "__main__":
    main()
