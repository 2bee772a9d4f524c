import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from mmduet.checkpoints import (
    build_tiny,
    load_adapter,
    load_duet,
    load_processor,
    save_adapter,
    save_checkpoint,
)
from mmduet.errors import CheckpointError, DuetError, FileError
from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.streaming.session import DuetSession
from mmduet.training import add_lora


def trained_tiny(**lora):
    """A tiny model with an adapter that is not the identity."""
    model, processor = build_tiny()
    wrapped = add_lora(model, **{"r": 4, "alpha": 8, **lora})
    generator = torch.Generator().manual_seed(0)
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return wrapped, processor


def scores(model, processor, frames):
    trace = DuetSession(model, processor).run(frames[:4])
    return trace.informative, trace.relevance


def test_unknown_names_are_told_the_presets():
    with pytest.raises(
        CheckpointError, match=r"'nano' is no preset \(tiny, tiny-words, mini-base, mini, mmduet-7b, mmd"
    ):
        load_duet("nano")


def test_preset_tiny_is_build_tiny(frames, tmp_path, monkeypatch):
    monkeypatch.setenv("MMDUET_CACHE", str(tmp_path))
    model, processor = load_duet("tiny")
    for ours, theirs in zip(scores(model, processor, frames), scores(*build_tiny(), frames), strict=True):
        assert (ours == theirs).all()
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-1"], "nothing is left aside"
    assert load_processor("tiny").frame == processor.frame


@pytest.mark.parametrize("merge", [True, False])
def test_adapter_round_trip(frames, tmp_path, merge):
    wrapped, processor = trained_tiny()
    wrapped.eval()
    before = scores(wrapped.get_base_model(), processor, frames)
    save_adapter(wrapped, tmp_path / "adapter", base="tiny", dtype=torch.float32)
    model = load_adapter(build_tiny()[0], tmp_path / "adapter", merge=merge).eval()
    # W + BA rounds otherwise than W x + B A x does
    tolerance = 1e-5 if merge else 1e-6
    for saved, loaded in zip(before, scores(model, processor, frames), strict=True):
        assert abs(saved - loaded).max() < tolerance


def test_adapter_holds_lora_projector_and_heads_only(tmp_path):
    from safetensors.torch import load_file

    save_adapter(trained_tiny()[0], tmp_path / "adapter", base="tiny")
    names = load_file(tmp_path / "adapter/adapter_model.safetensors")
    assert all(
        "lora_" in name or any(part in name for part in DuetForConditionalGeneration.trained_in_full) for name in names
    )
    assert all(any(part in name for name in names) for part in DuetForConditionalGeneration.trained_in_full)
    assert '"tiny"' in (tmp_path / "adapter/adapter_config.json").read_text()


def test_a_merged_checkpoint_round_trip(frames, tmp_path):
    wrapped, processor = trained_tiny()
    model = wrapped.merge_and_unload().eval()
    save_checkpoint(model, processor, tmp_path / "whole")
    again, its_processor = load_duet(tmp_path / "whole")
    for saved, loaded in zip(scores(model, processor, frames), scores(again, its_processor, frames), strict=True):
        assert (saved == loaded).all()


def test_an_adapter_of_another_base_is_refused_with_both_shapes(tmp_path):
    from mmduet.model.duet import DuetConfig, DuetForConditionalGeneration

    save_adapter(trained_tiny()[0], tmp_path / "adapter", base="tiny")
    settings = build_tiny()[0].config.to_dict()
    settings["text_config"]["intermediate_size"] = 96
    other = DuetForConditionalGeneration(DuetConfig.from_dict(settings))
    with pytest.raises(CheckpointError, match=r"does not fit this base: .*\(.*128.*\).*\(.*96.*\)"):
        load_adapter(other, tmp_path / "adapter")


def test_a_folder_without_an_adapter_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no adapter_model\.safetensors"):
        load_adapter(build_tiny()[0], tmp_path)


def test_a_failed_save_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    model, processor = build_tiny()
    save_checkpoint(model, processor, tmp_path / "tiny")
    monkeypatch.setattr(processor, "save_pretrained", lambda folder: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(FileError, match="disk full"):
        save_checkpoint(model, processor, tmp_path / "tiny")
    assert load_duet(tmp_path / "tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_saved_weights_are_readable_by_others(tmp_path):
    before = os.umask(0o022)
    try:
        save_checkpoint(*build_tiny(), tmp_path / "tiny")
        save_adapter(trained_tiny()[0], tmp_path / "adapter", base="tiny")
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o644"}
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors",
    }  # fmt: skip


def test_a_folder_with_other_files_is_never_replaced(tmp_path):
    model, processor = build_tiny()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match=r"holds notes\.txt, which this command did not write"):
        save_checkpoint(model, processor, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_model_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMDUET_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CheckpointError, match=r"cannot be written .*set MMDUET_CACHE to a writable folder"):
        load_duet("tiny")


def test_a_model_cache_of_an_earlier_version_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDUET_CACHE", str(tmp_path))
    save_checkpoint(*build_tiny(), tmp_path / "tiny-1")
    (tmp_path / "tiny-1" / "files.json").unlink()
    monkeypatch.setattr("mmduet.checkpoints.presets.build_tiny", None)
    assert load_duet("tiny")


def test_a_cached_model_that_is_incomplete_is_built_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDUET_CACHE", str(tmp_path))
    load_duet("tiny")
    (tmp_path / "tiny-1" / "model.safetensors").write_bytes(b"")
    assert load_duet("tiny")


def test_several_that_build_a_model_at_once(tmp_path, monkeypatch):
    """One builds, the others wait."""
    monkeypatch.setenv("MMDUET_CACHE", str(tmp_path))
    built = []
    monkeypatch.setattr("mmduet.checkpoints.presets.build_tiny", lambda: built.append(1) or build_tiny())
    with ThreadPoolExecutor(3) as pool:
        assert len(list(pool.map(load_processor, ["tiny"] * 3))) == 3
    assert built == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-1"]


def test_a_model_that_its_device_cannot_hold_is_one_sentence(monkeypatch):
    def full(model, device):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 130.00 MiB.")

    monkeypatch.setattr(DuetForConditionalGeneration, "to", full)
    with pytest.raises(
        DuetError, match=r"the GPU is out of memory \(130\.00 MiB .*\): let other models go, or give dtype"
    ):
        load_duet("tiny")
