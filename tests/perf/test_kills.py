"""Runs that are killed end, when run again, as if they had not been: a short form of perf/kills.py."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "perf" / "kills.py"
JOBS = ["predict", "scan", "features", "judge"]


@pytest.mark.skipif(sys.platform != "linux", reason="it forks")
def test_killed_runs_lose_and_leave_nothing():
    command = [sys.executable, SCRIPT, "--kills", "3", "--jobs", *JOBS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 1 + len(JOBS)
