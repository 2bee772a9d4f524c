"""Metadata scans: resumable, repeated only for what changed."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mmduet.cli import app
from mmduet.data import metadata
from mmduet.data.metadata import load_metadata, scan_videos
from mmduet.errors import AnnotationError, DuetError, FileError, VideoError
from mmduet.files import LineFile, inside
from mmduet.video import VideoMetadata
from tests.clips import write_clip


@pytest.fixture
def here(monkeypatch):
    """Looks at videos in this process, without decoding; `here` is what was looked at."""
    looked = []

    def here(function, names, *, workers, chunk):
        return map(function, names)

    def read(path):
        looked.append(path.name)
        if path.read_text() == "broken":
            raise VideoError(f"{path} is cut off: get it again.")
        return VideoMetadata(path, float(path.read_text()), 25.0, 100, 64, 48)

    monkeypatch.setattr(metadata, "map_in_processes", here)
    monkeypatch.setattr(metadata, "read_metadata", read)
    return looked


@pytest.fixture
def folder(tmp_path):
    videos = tmp_path / "videos"
    (videos / "more").mkdir(parents=True)
    for name, text in {"a.mp4": "1.5", "more/b.webm": "2.5", "c.mkv": "broken", "notes.txt": "no video"}.items():
        (videos / name).write_text(text)
    return videos


def test_a_scan_of_real_clips(tmp_path):
    (tmp_path / "videos").mkdir()
    write_clip(tmp_path / "videos" / "a.mp4", frames=24, rate=12)
    (tmp_path / "videos" / "b.mp4").write_bytes(b"no video at all")
    result = CliRunner().invoke(app, ["scan", str(tmp_path / "videos"), "--workers", "1"])
    assert result.exit_code == 0, result.output
    assert "1 videos, 0.0 hours; 1 cannot be read" in result.output
    written = json.loads((tmp_path / "videos_metadata.json").read_text())
    assert written["a.mp4"].items() >= {"duration": 2.0, "fps": 12.0, "path": "a.mp4", "frame_count": 24}.items()
    assert "b.mp4" in json.loads((tmp_path / "videos_metadata.broken.json").read_text())


def test_the_metadata_of_a_folder_are_beside_it_however_it_is_called(folder, here, monkeypatch):
    for where, name in ((folder, "."), (folder / "more", "..")):
        monkeypatch.chdir(where)
        result = CliRunner().invoke(app, ["scan", name, "--workers", "1"])
        assert result.exit_code == 0, result.output
        (written,) = folder.parent.glob("*_metadata.json")
        assert written.name == "videos_metadata.json"
        written.unlink()
    with pytest.raises(DuetError, match=r"/ has no name to put before _metadata\.json: give --output"):
        CliRunner().invoke(app, ["scan", "/"], catch_exceptions=False)


def test_only_what_changed_is_looked_at_again(folder, here, tmp_path):
    path = tmp_path / "metadata.json"
    first = load_metadata(folder, path)
    assert sorted(here) == ["a.mp4", "b.webm", "c.mkv"]
    assert {name: info.duration for name, info in first.videos.items()} == {"a.mp4": 1.5, "more/b.webm": 2.5}
    assert list(first.broken) == ["c.mkv"]
    here.clear()
    assert load_metadata(folder, path) == first
    assert scan_videos(folder, path) == first
    assert here == []
    (folder / "a.mp4").write_text("3.25")
    os.utime(folder / "more/b.webm", (1, 1))
    assert load_metadata(folder, path).videos["a.mp4"].duration == 3.25
    assert sorted(here) == ["a.mp4", "b.webm"]


def test_a_killed_scan_resumes(folder, here, tmp_path, monkeypatch):
    path, read = tmp_path / "metadata.json", metadata.read_metadata

    def killed(video):
        if video.name == "c.mkv":
            raise KeyboardInterrupt
        return read(video)

    with monkeypatch.context() as patch:
        patch.setattr(metadata, "read_metadata", killed)
        with pytest.raises(KeyboardInterrupt):
            scan_videos(folder, path)
    (journal,) = tmp_path.glob(".metadata.json.journal")
    damage = (
        b'["more/b.webm", {"duration": 0}]\n'
        + b"\0" * 40
        + b'\n"x"\n[1]\n\xff\n'
        + b"[" * 9999
        + b'\n["b.webm", {"dura'
    )
    journal.write_bytes(damage[:20] + b"\n" + journal.read_bytes() + damage)
    here.clear()
    assert set(scan_videos(folder, path).videos) == {"a.mp4", "more/b.webm"}
    assert "a.mp4" not in here
    assert not journal.exists()


def test_metadata_made_elsewhere_is_taken_as_it_is(folder, here, tmp_path):
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps({"a.mp4": {"duration": 9.0, "fps": 25, "path": "/x/a.mp4", "frame_count": 225}}))
    assert load_metadata(folder, path).videos["a.mp4"].duration == 9.0
    assert here == []


def test_files_of_other_kinds_stay(folder, here, tmp_path):
    """Neither an annotation file, nor metadata made elsewhere, nor a video is a scan's to write."""
    elsewhere = {"a.mp4": {"duration": 9.0, "fps": 25, "path": "/x/a.mp4", "frame_count": 225}}
    for name, text in {"a.json": "[]", "b.json": json.dumps(elsewhere), "c.json": '{"a": 1}', "d.json": "{"}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(FileError, match="another kind"):
            scan_videos(folder, tmp_path / name)
        assert (tmp_path / name).read_text() == text
    for path in (folder, folder / "a.mp4", folder / "a.mp4" / "x.json"):
        with pytest.raises(FileError):
            scan_videos(folder, path)
    (tmp_path / "e.broken.json").write_text("[]")
    with pytest.raises(FileError, match=r"e\.broken\.json is a file of another kind"):
        scan_videos(folder, tmp_path / "e.json")
    assert here == []


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_a_name_that_is_no_text_is_listed_as_broken(folder, here, tmp_path):
    (folder / os.fsdecode(b"\xff.mp4")).write_text("1")
    for _ in range(2):
        found = scan_videos(folder, tmp_path / "metadata.json")
        assert "not UTF-8: rename it" in found.broken["\\xff.mp4"]
        assert set(found.videos) == {"a.mp4", "more/b.webm"}


def test_temporary_files_are_no_videos(folder, here, tmp_path):
    (folder / ".mmduet-0-1-1.part.mp4").write_text("1")
    assert set(scan_videos(folder, tmp_path / "metadata.json").videos) == {"a.mp4", "more/b.webm"}


def test_one_scan_a_file(folder, here, tmp_path):
    with LineFile(tmp_path / ".m.json.journal"), pytest.raises(FileError, match=f"by process {os.getpid()}"):
        scan_videos(folder, tmp_path / "m.json")


def test_no_folder_is_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"gone is no folder: check video_root"):
        load_metadata(tmp_path / "gone", tmp_path / "metadata.json")


@given(st.lists(st.sampled_from(["..", ".", "a", "b"]), min_size=1, max_size=6))
def test_no_path_leaves_its_root(tmp_path_factory, parts):
    root, name = tmp_path_factory.getbasetemp() / "root", "/".join(parts)
    depths = [sum({"..": -1, ".": 0}.get(part, 1) for part in parts[: i + 1]) for i in range(len(parts))]
    assert (inside(root, name) is not None) == (min(depths) >= 0)
    assert inside(root, f"/{name}") is None
