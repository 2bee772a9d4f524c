"""`perf/streaming.py endless`: its check against one pass over the kept turns runs, with few frames."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "perf" / "streaming.py"


def test_scores_are_those_of_the_kept_turns_alone():
    options = ["endless", "--frames", "300", "--context-frames", "20", "--checks", "2"]
    done = subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-1000:]
    (difference,) = re.findall(r"2 scores: at most (\S+) from one pass", done.stdout)
    assert float(difference) < 1e-5
