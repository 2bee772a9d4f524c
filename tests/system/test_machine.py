"""The machine's name."""

from types import SimpleNamespace

import pytest
import torch

from mmduet.system import machine


@pytest.fixture
def h100(monkeypatch):
    """Pretend to have one."""
    monkeypatch.setattr(machine, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=79 * 2**30))
    machine.accelerator.cache_clear()
    yield
    machine.accelerator.cache_clear()


@pytest.mark.parametrize("used", [None, torch.device("cuda"), torch.device("cuda", 0)])
def test_the_gpu_is_named_with_its_memory(h100, used):
    assert machine.accelerator(used).startswith("NVIDIA H100 80GB HBM3, 79 GiB (CUDA ")
    assert machine.machine(used).startswith(f"{machine.accelerator(used)}; ")
    assert machine.machine(used).endswith(" cores")


def test_a_gpu_that_does_not_compute_is_not_named(h100):
    assert machine.machine(torch.device("cpu")).startswith("no GPU used; ")
    assert machine.accelerator(torch.device("cpu")).endswith(" cores")


@pytest.mark.parametrize("has_files", [True, False])
def test_without_a_gpu_the_processor_and_its_cores_are_named(monkeypatch, has_files):
    monkeypatch.setattr(machine, "_may_have_gpu", lambda: has_files)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    machine.accelerator.cache_clear()
    assert machine.machine() == f"no GPU used; {machine.accelerator()}"
    assert machine.accelerator().endswith(" cores")
    machine.accelerator.cache_clear()


@pytest.mark.parametrize(
    ("name", "may"), [("nvidia0", True), ("nvhost-gpu", True), ("kfd", True), ("dxg", True), ("nvme0n1", False)]
)
def test_the_files_of_gpus_are_known(monkeypatch, tmp_path, name, may):
    (tmp_path / name).touch()
    monkeypatch.setattr(machine, "Path", lambda path: tmp_path)
    monkeypatch.setattr(machine.sys, "platform", "linux")
    assert machine._may_have_gpu() is may
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    assert machine._may_have_gpu(), "torch has to be asked"
