"""ClipFolders: what a page may have watched."""

from pathlib import Path
from typing import Any

import pytest
from mmduet_widgets.clip_folders import ClipFolders

from mmduet.errors import DuetError


def test_files_of_the_folders_are_allowed(tmp_path: Path) -> None:
    folders = ClipFolders([tmp_path / "a" / "clip.mp4", tmp_path / "b" / "clip.mp4"])
    for clip in (tmp_path / "a" / "other.mp4", tmp_path / "b" / ".." / "a" / "clip.mp4"):
        folders.check(str(clip))


@pytest.mark.parametrize("clip", ["/etc/passwd", "", "\0", "~" * 5000, 3, None, "a/deeper/clip.mp4", "a/../clip.mp4"])
def test_others_are_refused(tmp_path: Path, clip: Any) -> None:
    clip = str(tmp_path / clip) if isinstance(clip, str) and clip.startswith("a/") else clip
    with pytest.raises(DuetError, match=r"is in none of the player's folders \(.*\): choose one of them"):
        ClipFolders([tmp_path / "a" / "clip.mp4"]).check(clip)
