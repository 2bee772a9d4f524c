"""Workers of the data loader: the same numbers with any number of them, plain errors, and no process left."""

import os
import subprocess
import sys

import psutil
import pytest

from mmduet.errors import AnnotationError, DuetError
from mmduet.training.loading import loading, make_loader
from tests.training.conftest import losses


def test_any_number_of_workers_trains_the_same(short):
    """Over three epochs, with dropout."""
    settings = {"steps": None, "epochs": 3, "align_iterations": 2, "val_set": None}
    runs = [losses(short(f"{workers}", workers=workers, **settings)) for workers in (0, 1, 2)]
    assert len(runs[0]) > 9
    assert runs[0] == runs[1] == runs[2]


class Failing:
    """A data set whose samples cannot be made."""

    def __init__(self, fail):
        self.fail = fail

    def __len__(self):
        return 1

    def __getitem__(self, index):
        self.fail()


def refuse():
    raise AnnotationError("a.json: entry 0 is wrong: correct it.")


def take_one(dataset):
    with loading():
        return next(iter(make_loader(dataset, workers=1, batch_size=1)))


def test_an_error_is_said_as_without_workers():
    with pytest.raises(AnnotationError, match=r"^a\.json: entry 0 is wrong: correct it\.$"):
        take_one(Failing(refuse))


def test_a_worker_that_ends_is_told():
    with pytest.raises(DuetError, match=r"a worker of the data loader ended .*lower `workers`"):
        take_one(Failing(lambda: os._exit(3)))


SCRIPT = """
import multiprocessing, torch
print("began", flush=True)
from mmduet.training.loading import loading, make_loader
multiprocessing.set_start_method("spawn")
with loading():
    print([batch.tolist() for batch in make_loader(torch.arange(4), workers=1, batch_size=2)])
"""


def test_a_script_without_a_guard_runs_once(tmp_path):
    """Where workers are spawned, as on macOS and Windows, each imports the main script."""
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[:2] == ["began", "[[0, 1], [2, 3]]"], done.stderr[-2000:]


WAITING = """
import sys, torch
from mmduet.training.loading import loading, make_loader
with loading():
    batches = iter(make_loader(torch.arange(4), workers=2, batch_size=1))
    next(batches)
print("ready", flush=True)
sys.stdin.read()
"""


def test_workers_end_with_a_killed_process():
    process = subprocess.Popen([sys.executable, "-c", WAITING], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    assert psutil.wait_procs(workers, timeout=60)[1] == []
