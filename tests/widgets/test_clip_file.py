"""The clip of a player: its length, whatever browsers make of it."""

from pathlib import Path

import pytest
from mmduet_widgets.clip_file import clip_duration

from tests.clips import RATE, write_clip, write_coded


@pytest.mark.parametrize(
    ("name", "encoder"), [("clip.avi", "MPEG-4"), ("clip.mp4", "HEVC open GOP"), ("a.webm", "VP9")]
)
def test_the_length_is_known_of_whatever_the_model_can_watch(tmp_path: Path, name: str, encoder: str) -> None:
    clip = write_coded(tmp_path / name, encoder, frames=50)
    assert clip_duration(clip) == pytest.approx(50 / RATE, abs=0.05)


def test_the_length_of_bytes_and_of_other_files_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    clip = write_clip(tmp_path / "clip.mp4")
    assert [clip_duration(video) for video in (tmp_path / "text.mp4", clip.read_bytes())] == [0.0, 0.0]
