"""Run records: the machine's name."""

from types import SimpleNamespace

import pytest
import torch

from mmduet.reports import records


@pytest.fixture
def h100(monkeypatch):
    """Pretend to have one."""
    monkeypatch.setattr(records, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=79 * 2**30))
    records.accelerator.cache_clear()
    yield
    records.accelerator.cache_clear()


@pytest.mark.parametrize("used", [None, torch.device("cuda"), torch.device("cuda", 0)])
def test_the_gpu_is_named_with_its_memory(h100, used):
    assert records.accelerator(used).startswith("NVIDIA H100 80GB HBM3, 79 GiB (CUDA ")
    assert records.device(used).startswith(f"{records.accelerator(used)}; ")
    assert records.device(used).endswith(" cores")


def test_a_gpu_that_does_not_compute_is_not_named(h100):
    assert records.device(torch.device("cpu")).startswith("no GPU used; ")
    assert records.accelerator(torch.device("cpu")).endswith(" cores")


@pytest.mark.parametrize("has_files", [True, False])
def test_without_a_gpu_the_processor_and_its_cores_are_named(monkeypatch, has_files):
    monkeypatch.setattr(records, "_may_have_gpu", lambda: has_files)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    records.accelerator.cache_clear()
    assert records.device() == f"no GPU used; {records.accelerator()}"
    assert records.accelerator().endswith(" cores")
    records.accelerator.cache_clear()


@pytest.mark.parametrize(
    ("name", "may"), [("nvidia0", True), ("nvhost-gpu", True), ("kfd", True), ("dxg", True), ("nvme0n1", False)]
)
def test_the_files_of_gpus_are_known(monkeypatch, tmp_path, name, may):
    (tmp_path / name).touch()
    monkeypatch.setattr(records, "Path", lambda path: tmp_path)
    monkeypatch.setattr(records.sys, "platform", "linux")
    assert records._may_have_gpu() is may
    monkeypatch.setattr(records.sys, "platform", "darwin")
    assert records._may_have_gpu(), "torch has to be asked"
