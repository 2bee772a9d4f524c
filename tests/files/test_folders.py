"""Folders: replaced completely, and only those that this package wrote."""

from pathlib import Path

import pytest

from mmduet.errors import FileError
from mmduet.files import MANIFEST, check_folder, is_complete, remove, replacing_folder


def test_links_and_folders_in_a_folder_of_ours_are_not_removed(tmp_path):
    with replacing_folder(tmp_path / "model") as temporary:
        (temporary / "part").mkdir()
        (temporary / "part" / "weights").write_text("1")
    check_folder(tmp_path / "model")
    (tmp_path / "link").symlink_to("model", target_is_directory=True)
    with replacing_folder(tmp_path / "link") as temporary:
        (temporary / "weights").write_text("2")
    assert (tmp_path / "link").is_symlink()
    for make in (lambda path: path.symlink_to(tmp_path), Path.mkdir):
        make(tmp_path / "model" / "mine")
        with pytest.raises(FileError, match="holds mine, which"):
            check_folder(tmp_path / "model")
        remove(tmp_path / "model" / "mine")
    with pytest.raises(FileError, match="is an input, or contains it"):
        check_folder(tmp_path / "link", inputs=[tmp_path / "model"])


def test_a_folder_of_ours_is_replaced_and_one_of_others_never(tmp_path):
    folder = tmp_path / "model"
    for content in ("1", "2"):
        with replacing_folder(folder) as temporary:
            (temporary / "weights").write_text(content)
    assert is_complete(folder)
    assert (folder / "weights").read_text() == "2"
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match=r"notes\.txt.*did not write"):
        check_folder(folder)
    with pytest.raises(FileError), replacing_folder(folder):
        pass
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "weights").unlink()
    assert not is_complete(folder)


@pytest.mark.parametrize("name", ["full", "full/..", "file"])
def test_folders_that_are_not_ours_are_refused(tmp_path, name, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError):
        check_folder(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileError, match="current folder"):
        check_folder(".")


def test_a_manifest_that_is_no_manifest_claims_nothing(tmp_path):
    (tmp_path / "m").mkdir()
    for text in ("[]", "{}", "no JSON", '{"a": "1"}'):
        (tmp_path / "m" / MANIFEST).write_text(text)
        (tmp_path / "m" / "a").write_text("1")
        with pytest.raises(FileError):
            check_folder(tmp_path / "m")
