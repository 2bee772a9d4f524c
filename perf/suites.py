"""A suite of short single-threaded runs: one after the other, and on workers, in turn.

    python perf/suites.py [--runs 12] [--workers 2] [--rounds 1] [--seconds 8]

Each run computes for some seconds on one core. Both ways start from a new process, with everything that a user waits
for. The script prints wall times, their ratio, and whether both made the same records and pages, but for times. The
status is 1 if the ratio is above 0.65 or they differ.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from campaign import CHANGING  # first: it sets the environment

# isort: split
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

LIMIT = 0.65
LOG = re.compile(r"logs/[\w.=%-]+\.log")


def write_suite(folder: Path, runs: int, loops: int) -> Path:
    """Runs that add up numbers, each from its own seed."""
    (folder / "notebooks").mkdir()
    cells = [
        new_markdown_cell("# Sums"),
        new_code_cell("seed: int = 0\nloops: int = 1", metadata={"tags": ["parameters"]}),
        new_code_cell("total = 0\nfor number in range(loops):\n    total = (total * 31 + seed + number) % 1_000_003"),
        new_code_cell("from mmduet.reports import record_metrics\n\nrecord_metrics({'total': total})"),
    ]
    nbformat.write(new_notebook(cells=cells), folder / "notebooks" / "n.ipynb")
    lines = ["name: suites", "title: Suites", "runs:", "  - name: sum", "    notebook: notebooks/n.ipynb"]
    lines += [f"    parameters: {{loops: {loops}}}", f"    matrix: {{seed: {list(range(runs))}}}"]
    (folder / "suite.yaml").write_text("\n".join(lines) + "\n")
    return folder / "suite.yaml"


def loops_of(seconds: float) -> int:
    """How many steps take so long on this machine."""
    began, total = time.process_time(), 0
    for number in range(1_000_000):
        total = (total * 31 + number) % 1_000_003
    return int(seconds / (time.process_time() - began) * 1_000_000)


def timed_report(suite: Path, output: Path, *more: str) -> float:
    """Wall seconds of `mmduet report` on a new folder."""
    began = time.perf_counter()
    words = [sys.executable, "-m", "mmduet", "report", str(suite), "--output", str(output), *more]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def result_of(folder: Path) -> object:
    """Records and pages, but for times and the names of logs, which carry them."""
    records = []
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text())
        records.append({k: v for k, v in record.items() if k not in ("started", "seconds", "log")})
    pages = [CHANGING.sub("", LOG.sub("", path.read_text())) for path in sorted(folder.glob("sum-*.html"))]
    return records, pages


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=8.0, help="of a run on one core [8]")
    options = parser.parse_args()
    walls: dict[str, list[float]] = {"one after the other": [], "workers": []}
    same = True
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        suite = write_suite(root, options.runs, loops_of(options.seconds))
        for number in range(options.rounds):
            one, several = root / f"one-{number}", root / f"several-{number}"
            walls["one after the other"].append(timed_report(suite, one))
            walls["workers"].append(timed_report(suite, several, "--workers", str(options.workers)))
            same &= result_of(one) == result_of(several)
    ratio = median(walls["workers"]) / median(walls["one after the other"])
    print(json.dumps({way: [round(wall, 1) for wall in found] for way, found in walls.items()}))
    print(json.dumps({"ratio": round(ratio, 3), "asked": LIMIT, "same records and pages": same}))
    raise SystemExit(ratio > LIMIT or not same)


if __name__ == "__main__":
    main()
