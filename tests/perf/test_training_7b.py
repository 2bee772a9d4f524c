"""perf/training_7b.py: its estimate is near what was measured, and its measurement runs without a GPU, too."""

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "perf" / "training_7b.py"
MEASURE_TINY = """
import json
from dataclasses import asdict
from training_7b import measure
from mmduet.checkpoints import build_tiny
print(json.dumps({way: asdict(step) for way, step in measure(build_tiny()[0].config, 3, 1).items()}))
"""


@pytest.fixture(scope="module")
def script():
    spec = spec_from_file_location("training_7b", SCRIPT)
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_estimate_is_near_what_was_measured(script):
    for frames, (gigabytes, _) in script.MEASURED.items():
        assert script.estimate(frames).gigabytes == pytest.approx(gigabytes, rel=0.1)


def test_both_ways_are_measured():
    """In a process of its own: accelerate sets the precision once for all."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURE_TINY]
    done = subprocess.run(command, cwd=SCRIPT.parent, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found.keys() == {"pixels", "cached features"}
    for step in found.values():
        assert step["seconds"] > 0
        assert step["loss"] > 0
        assert 0.1 < step["gigabytes"] < 10
