"""Temporary files: what killed processes left is removed or gets its name back."""

from mmduet.files import clean, replacing, write_file


def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path):
    with replacing(tmp_path / "x.json") as temporary:
        temporary.write_text("")
        host = temporary.name.split("-")[1]
    gone, other = tmp_path / "deep", tmp_path / "deep" / ".mmduet-other-99999999-0.part.json"
    gone.mkdir()
    (gone / f".mmduet-{host}-99999999-0.part.json").write_text("left")
    other.write_text("of another machine")
    write_file(gone / "y.json", "{}")
    assert sorted(path.name for path in gone.iterdir()) == [other.name, "y.json"]


def test_a_folder_that_was_moved_aside_gets_its_name_back(tmp_path):
    """A process that ends between the two renames loses nothing."""
    with replacing(tmp_path / "x") as temporary:
        temporary.write_text("")
        machine = temporary.name.split("-")[1]
    for name in ("kept", "replaced"):
        aside = tmp_path / "deep" / f".mmduet-{machine}-99999999-0.part.was-{name}"
        aside.mkdir(parents=True)
        (aside / "weights").write_text("old")
    (tmp_path / "deep" / "replaced").mkdir()
    clean(tmp_path / "deep")
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["kept", "replaced"]
    assert (tmp_path / "deep" / "kept" / "weights").read_text() == "old"
    assert not (tmp_path / "deep" / "replaced" / "weights").exists()
