import gc
import resource
import subprocess
import sys
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmduet.system.memory import free_garbage, peak_memory


class Ring:
    """Refers to itself, so only the collector frees it."""

    def __init__(self):
        self.itself = self


def test_what_refers_only_to_itself_is_freed():
    gc.disable()
    try:
        gone = weakref.ref(Ring())
        assert gone() is not None
        free_garbage()
        assert gone() is None
    finally:
        gc.enable()


def test_the_peak_of_a_process_grows_with_what_it_uses():
    now = peak_memory(torch.device("cpu"))
    block = np.ones(int(1.2 * now * 1e6 / 8))
    assert peak_memory() >= block.nbytes / 1e6


def test_macos_counts_in_bytes(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=1_000_000))
    assert peak_memory() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux adds the starting process's memory")
def test_the_peak_is_of_this_process_alone():
    block = np.ones(100_000_000 // 8)
    code = "from mmduet.system.memory import peak_memory; print(peak_memory())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert float(child.stdout) < block.nbytes / 1e6
