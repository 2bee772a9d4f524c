"""The choice of device and precision, on machines that are made up."""

import gc
import subprocess
import sys
import weakref

import pytest
import torch

from mmduet.errors import DuetError
from mmduet.system.devices import choose_device, choose_dtype, enough_memory


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


CUDA = (
    "CUDA out of memory. Tried to allocate 22.00 MiB. GPU 1 has a total capacity of 23.65 GiB of which 11.06 MiB is "
    "free. Including non-PyTorch memory, this process has 23.60 GiB memory in use."
)
MPS = "MPS backend out of memory (MPS allocated: 9.00 GB, max allowed: 9.07 GB). Tried to allocate 1.50 GB on pool."
CPU = "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError(CUDA), "GPU 1 is out of memory (22.00 MiB more were requested, 11.06 MiB of 23.65 GiB "
         "are free): lower it."),
        (torch.OutOfMemoryError(), "this machine is out of memory: lower it."),
        (RuntimeError("CUDA error: out of memory"), "the GPU is out of memory: lower it."),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when"), "the GPU is out of memory: lower it."),
        (RuntimeError(MPS), "the GPU is out of memory (1.50 GB more were requested): lower it."),
        (RuntimeError(f"{CPU}4 bytes."), "this machine is out of memory (4 bytes more were requested): lower it."),
        (MemoryError(), "this machine is out of memory: lower it."),
    ],
)  # fmt: skip
def test_out_of_memory_is_one_sentence(error, message):
    with pytest.raises(DuetError) as caught, enough_memory("lower it"):
        raise error
    assert str(caught.value) == message
    assert caught.value.__cause__ is error


def test_what_no_machine_has_is_out_of_memory():
    message = r"this machine is out of memory \(\d+ bytes more were requested\): lower it"
    with pytest.raises(DuetError, match=message), enough_memory("lower it"):
        torch.empty(2**60, dtype=torch.uint8)


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), DuetError("out of memory"), KeyError("memory")])
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as caught, enough_memory("lower it"):
        raise error
    assert caught.value is error


def test_what_the_failed_call_held_is_let_go():
    """Else a notebook, which keeps its last error, could not try again with less."""
    seen = []

    @enough_memory("lower it")
    def fill():
        large = torch.zeros(10)
        seen.append(weakref.ref(large))
        raise torch.OutOfMemoryError(CUDA)

    with pytest.raises(DuetError) as caught:
        fill()
    gc.collect()
    assert caught.value.__cause__.__traceback__ is not None
    assert seen[0]() is None


def test_importing_it_loads_no_torch():
    code = "import sys, mmduet.system.devices; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
