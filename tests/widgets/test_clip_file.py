"""The clip of a player: its length, whatever browsers make of it."""

import io
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest
from mmduet_widgets.clip_file import clip_duration, clip_paths, read_clip

from mmduet.errors import DuetError
from mmduet.reports import clip
from tests.clips import RATE, write_clip, write_coded


@pytest.mark.parametrize(
    ("name", "encoder"), [("clip.avi", "MPEG-4"), ("clip.mp4", "HEVC open GOP"), ("a.webm", "VP9")]
)
def test_the_length_is_known_of_whatever_the_model_can_watch(tmp_path: Path, name: str, encoder: str) -> None:
    watched = write_coded(tmp_path / name, encoder, frames=50)
    assert clip_duration(watched) == pytest.approx(50 / RATE, abs=0.05)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.mkv"])
def test_times_that_start_late_count_from_the_first_frame(tmp_path: Path, name: str) -> None:
    late = write_clip(tmp_path / name, frames=24, times=7500 + np.round(1000 * np.arange(24) / 12))
    assert clip_duration(late) == pytest.approx(2, abs=0.1)
    shown, note = read_clip(late)
    with av.open(io.BytesIO(shown)) as container:
        assert next(container.decode(video=0)).time == pytest.approx(0, abs=0.002)
    assert not note


def test_a_clip_whose_times_cannot_be_moved_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = write_clip(tmp_path / "a.webm", times=7500 + np.arange(24) * 80)
    monkeypatch.setattr(clip, "_format", lambda _: "gif")
    shown, note = read_clip(late)
    assert (shown, note[:50]) == (b"", "The clip is not shown: the clip's times start at 7")


def test_the_length_of_bytes_and_of_other_files_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    shown = write_clip(tmp_path / "clip.mp4")
    assert [clip_duration(video) for video in (tmp_path / "text.mp4", shown.read_bytes())] == [0.0, 0.0]


@pytest.mark.parametrize("one", ["c/a.mp4", Path("c/a.mp4")])
def test_a_single_path_is_one_clip(one: str | Path) -> None:
    assert clip_paths(one) == clip_paths([one]) == clip_paths(iter([one, str(one)])) == [Path("c/a.mp4")]


@pytest.mark.parametrize("none", [[], (), iter([])])
def test_no_clip_is_an_error(none: Iterable[str]) -> None:
    with pytest.raises(DuetError, match="at least one clip"):
        clip_paths(none)
