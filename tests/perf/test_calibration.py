"""`perf/calibration.py`: its check against a plain loop runs, with few traces."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "perf" / "calibration.py"


def test_the_responses_are_those_of_the_plain_loop():
    options = ["--traces", "4", "--frames", "40", "--thresholds", "5", "--plain", "2", "--repeats", "1"]
    done = subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-1000:]
    assert "| threshold: 3 policies, 4 traces of 40 frames |" in done.stdout
