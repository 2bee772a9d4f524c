"""Atomic writing: files complete or as they were."""

import os
import stat

import pytest
import torch
from safetensors.torch import save_file

from mmduet.errors import FileError
from mmduet.files import replacing, write_file, write_files
from tests.clips import write_clip


def test_a_file_is_replaced_when_the_block_ends_well(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("old")
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
        assert temporary.suffix == ".json"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert target.read_text() == "new"


def _write_half(temporary):
    temporary.write_text("half")
    raise KeyError("elsewhere")


def test_a_failed_block_leaves_the_file_as_it_was(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("old")
    with pytest.raises(KeyError, match="elsewhere"), replacing(target) as temporary:
        _write_half(temporary)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.json": "old"}


def test_several_files_are_written_or_none(tmp_path):
    (tmp_path / "b").mkdir()  # cannot become a file
    (tmp_path / "a").write_text("old")
    with pytest.raises(FileError, match=r"b cannot be written"):
        write_files({tmp_path / "b": "x", tmp_path / "a": "new"})
    assert (tmp_path / "a").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_link_and_a_mode_stay(tmp_path):
    (tmp_path / "kept").write_text("old")
    (tmp_path / "kept").chmod(0o640)
    (tmp_path / "link").symlink_to("kept")
    write_file(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "kept").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o640


def _save_weights(path):
    save_file({"weights": torch.zeros(5000)}, path)


def _save_state(path):
    torch.save({"weights": torch.zeros(5000)}, path)


def _save_text(path):
    with path.open("w") as file:
        file.write("0" * 20000)


def _save_clip(path):
    write_clip(path, frames=48, size=(320, 240))


@pytest.mark.skipif(os.name == "nt", reason="no limit on the size of files there")
@pytest.mark.parametrize("save", [_save_weights, _save_state, _save_text, _save_clip])
def test_a_full_disk_is_one_sentence_whoever_writes(tmp_path, save):
    import resource

    target = tmp_path / "a.mp4"
    target.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(FileError, match=r"a\.mp4 cannot be written .* is kept"), replacing(target) as temporary:
            save(temporary)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.mp4": "old"}


def test_what_is_no_failure_to_write_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a"):
        (tmp_path / "none").read_text()
    with pytest.raises(ConnectionError), replacing(tmp_path / "a"):
        raise ConnectionResetError
    assert list(tmp_path.iterdir()) == []
