"""The choice of device and precision, on machines that are made up."""

import subprocess
import sys

import pytest
import torch

from mmduet.devices import choose_device, choose_dtype
from mmduet.errors import DuetError


@pytest.fixture
def machine(monkeypatch):
    """machine(cuda=…, mps=…): pretend to have so many CUDA devices, and an Apple GPU of so new a system."""

    def pretend(cuda: int = 0, mps: int | None = None):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps is not None)
        monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: (mps or 0) >= major)

    return pretend


@pytest.mark.parametrize(
    ("has", "device", "dtype"),
    [
        ({}, "cpu", torch.float32),
        ({"cuda": 1}, "cuda", torch.bfloat16),
        ({"mps": 15}, "mps", torch.bfloat16),
        ({"cuda": 1, "mps": 15}, "cuda", torch.bfloat16),
        ({"mps": 13}, "cpu", torch.float32),
    ],
)
@pytest.mark.parametrize("name", ["auto", None])
def test_auto_takes_a_gpu_and_its_precision(machine, name, has, device, dtype):
    machine(**has)
    assert choose_device(name) == torch.device(device)
    assert choose_dtype(name, choose_device(name)) == dtype


def test_a_name_is_taken_as_it_is(machine):
    machine(cuda=2)
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("cuda:1") == choose_device(torch.device("cuda", 1)) == torch.device("cuda:1")
    assert choose_dtype("float16", "cpu") == choose_dtype(torch.float16, "cuda") == torch.float16
    assert choose_dtype(torch.float64, "cpu") == torch.float64


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "meta"])
def test_a_device_that_is_not_there_is_named(machine, name):
    machine()
    with pytest.raises(DuetError, match=f"device='{name}' is not on this machine, which has cpu"):
        choose_device(name)


def test_a_device_past_the_last_one_is_named(machine):
    machine(cuda=2)
    with pytest.raises(DuetError, match="device='cuda:2' is not on this machine, which has cpu, cuda"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cpu:-1", 3.5])
def test_an_unknown_device_is_one_sentence(machine, name):
    machine()
    with pytest.raises(DuetError, match="is not known; use auto, cpu, cuda"):
        choose_device(name)


@pytest.mark.parametrize("name", ["int8", "bf16", "load", "", torch.int8, torch.complex64, 16, ["float32"]])
def test_an_unknown_dtype_is_one_sentence(name):
    with pytest.raises(DuetError, match="is not known; use auto, bfloat16, float16 or float32"):
        choose_dtype(name, "cpu")


def test_importing_it_loads_no_torch():
    code = "import sys, mmduet.devices; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
