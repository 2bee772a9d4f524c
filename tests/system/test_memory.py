import gc
import resource
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


@pytest.mark.parametrize(("system", "megabytes"), [("linux", 1024), ("darwin", 1)])
def test_macos_counts_in_bytes_and_linux_in_kilobytes(monkeypatch, system, megabytes):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=1_000_000))
    assert peak_memory() == megabytes
