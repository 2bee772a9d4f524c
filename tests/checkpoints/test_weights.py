"""Safetensors files as clones without Git LFS, cut downloads and hostile indexes leave them."""

import json

import pytest
import torch
from safetensors.torch import save_file

from mmduet.checkpoints.weights import check_finite, read_headers, read_tensors
from mmduet.errors import CheckpointError

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4)}


def write_shards(folder, index=True):
    for number, name in enumerate(TENSORS, 1):
        save_file({name: TENSORS[name]}, folder / f"model-0000{number}-of-00002.safetensors")
    if index:
        names = {name: f"model-0000{number}-of-00002.safetensors" for number, name in enumerate(TENSORS, 1)}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


@pytest.mark.parametrize("kind", ["single", "index", "no index"])
def test_one_file_or_shards_with_or_without_an_index(tmp_path, kind):
    if kind == "single":
        save_file(TENSORS, tmp_path / "model.safetensors")
    else:
        write_shards(tmp_path, index=kind == "index")
    headers = read_headers(tmp_path, "model")
    assert {name: (header.shape, header.dtype) for name, header in headers.items()} == {
        "a": ((2, 3), "F32"),
        "b": ((4,), "F32"),
    }
    for name, value in read_tensors(headers).items():
        assert torch.equal(value, TENSORS[name])


def test_shards_without_an_index_that_are_not_all_there(tmp_path):
    write_shards(tmp_path, index=False)
    (tmp_path / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has 1 files like model-00002-of-00002\.safetensors, which says 00002"):
        read_headers(tmp_path, "model")


def index_of(folder, **weight_map):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_a_tensor_that_its_shard_lacks_is_named(tmp_path):
    write_shards(tmp_path)
    index_of(tmp_path, a="model-00002-of-00002.safetensors", b="model-00002-of-00002.safetensors")
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors lacks the tensor a that"):
        read_headers(tmp_path, "model")


@pytest.mark.parametrize("name", ["../out.safetensors", "/out.safetensors", "C:\\out.safetensors", "model.bin", ""])
def test_an_index_that_leads_elsewhere_is_refused(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    save_file(TENSORS, tmp_path / "out.safetensors")
    index_of(folder, a=name)
    with pytest.raises(CheckpointError, match="is no safetensors file in its folder"):
        read_headers(folder, "model")


@pytest.mark.parametrize("content", [{}, {"weight_map": 3}, {"weight_map": {"a": 3}}, []])
def test_an_index_of_another_form_is_one_sentence(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json"):
        read_headers(tmp_path, "model")


def test_two_sets_of_weights_are_refused(tmp_path):
    write_shards(tmp_path)
    save_file(TENSORS, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="has both"):
        read_headers(tmp_path, "model")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"", "is empty: download it again"),
        (lambda content: content[:-1], "is truncated or damaged"),
        (lambda content: content[:5], "is truncated or damaged"),
        (lambda content: b"\xff" * 40, "is truncated or damaged"),
        (lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "a Git LFS pointer"),
    ],
)
def test_damaged_files_are_one_sentence(tmp_path, damage, message):
    path = tmp_path / "model.safetensors"
    save_file(TENSORS, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=message):
        read_headers(tmp_path, "model")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_numbers_that_are_none_are_named(value, dtype):
    good = torch.full((1000,), 60_000.0, dtype=dtype)
    check_finite([("good", good)], "x")
    bad = good.clone()
    bad[7] = value
    with pytest.raises(CheckpointError, match="x: bad holds NaN or infinite numbers"):
        check_finite([("good", good), ("bad", bad)], "x")
