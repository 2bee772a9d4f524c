"""`perf/proactivevideoqa.py`: its check against a plain loop runs, with few questions."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "perf" / "proactivevideoqa.py"


def test_the_figures_are_those_of_the_plain_loop():
    options = ["--questions", "10", "--turns", "25", "--repeats", "1"]
    done = subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-1000:]
    assert re.findall(r"rule (\S+), 10 questions, 25 turns", done.stdout) == ["proactivevideoqa", "mmduet2"]
