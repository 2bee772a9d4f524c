"""Uploads: pieces become a clip in a temporary folder, and nothing else."""

import gc
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmduet_widgets import uploads
from mmduet_widgets.uploads import MAX_BYTES, Uploads

from mmduet.errors import DuetError


def send(made: Uploads, name: str, content: bytes, step: int = 4) -> Path | None:
    """All pieces in order; what the last one gives."""
    path = None
    for offset in range(0, len(content), step):
        piece = {"name": name, "size": len(content), "offset": offset}
        path = made.receive(piece, [memoryview(content[offset : offset + step])])
    return path


@given(content=st.binary(min_size=1, max_size=50), step=st.integers(1, 50))
def test_pieces_become_the_file(content: bytes, step: int) -> None:
    made = Uploads()
    path = send(made, "clip.mp4", content, step)
    assert path
    assert path.read_bytes() == content
    assert (made.state["received"], made.state["limit"]) == (len(content), MAX_BYTES)


NAMES = [
    "../../etc/passwd",
    "C:\\clip.mp4",
    "..",
    "",
    ".bashrc",
    "a\0b.mp4",
    "é ü.mp4",
    "x" * 300 + ".mp4",
    "<img>.mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    made = Uploads()
    path = send(made, name, b"12345")
    assert path
    assert made._folder
    assert path.parent == made._folder
    assert path.read_bytes() == b"12345"
    assert not path.name.startswith(".")


def test_a_second_clip_of_that_name_replaces_none() -> None:
    made = Uploads()
    paths = [send(made, "clip.mp4", content) for content in (b"first", b"second")]
    assert [path.read_bytes() for path in paths if path] == [b"first", b"second"]


def test_the_folder_goes_with_its_player() -> None:
    made = Uploads()
    path = send(made, "clip.mp4", b"12345")
    assert path
    folder = path.parent
    del made
    gc.collect()
    assert not folder.exists()


WRONG: list[tuple[Any, bytes, str]] = [
    ({"name": "a", "size": MAX_BYTES + 1, "offset": 0}, b"1", "more than the 2,000 MB that a page may send"),
    ({"name": "a", "size": 2, "offset": 0}, b"123", "more than its 2 bytes"),
    ({"name": "a", "size": 4, "offset": 2}, b"12", "a piece is missing before byte 2"),
    ({"name": "a", "size": 0, "offset": 0}, b"", "size"),
    ({"name": 3, "size": 4, "offset": 0}, b"12", "name"),
    ({"name": "a", "size": math.inf, "offset": 0}, b"12", "size"),
    (None, b"", "the page's message"),
]


@pytest.mark.parametrize(("piece", "content", "message"), WRONG)
def test_a_wrong_piece_is_refused_and_leaves_nothing(piece: Any, content: bytes, message: str) -> None:
    made = Uploads()
    before = made.state
    with pytest.raises(DuetError, match=message):
        made.receive(piece, [content])
    assert made.state["name"] == ""
    assert made.state != before, "the page hears of it"
    assert made._folder is None or not list(made._folder.iterdir())


def test_a_complete_clip_takes_no_more() -> None:
    made = Uploads()
    path = send(made, "clip.mp4", b"12345")
    with pytest.raises(DuetError, match="a piece is missing before byte 5"):
        made.receive({"name": "clip.mp4", "size": 5, "offset": 5}, [b""])
    assert path
    assert path.read_bytes() == b"12345"


def test_pieces_of_two_clips_do_not_mix() -> None:
    made = Uploads()
    made.receive({"name": "a", "size": 4, "offset": 0}, [b"12"])
    with pytest.raises(DuetError, match="missing before byte 2"):
        made.receive({"name": "b", "size": 4, "offset": 2}, [b"12"])


def test_a_clip_that_does_not_fit_the_disk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = uploads.shutil.disk_usage("/")
    monkeypatch.setattr(uploads.shutil, "disk_usage", lambda _: usage._replace(free=3))
    with pytest.raises(DuetError, match=r"a: has 0 MB, and .* has 0 MB free: make room there"):
        Uploads().receive({"name": "a", "size": 4, "offset": 0}, [b"12"])
