"""ClipFolders: the folders whose clips a page may have watched."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmduet.errors import DuetError


class ClipFolders:
    """The folders of some clips.

    Args:
        clips: Paths; they need not be in one folder.
    """

    def __init__(self, clips: Iterable[str | Path]):
        self._folders = {Path(clip).resolve().parent for clip in clips}

    def add(self, clip: Path) -> None:
        """Allow the folder of one more clip."""
        self._folders.add(clip.resolve().parent)

    def check(self, clip: Any) -> None:
        """Refuse whatever is no file of one of the folders, also behind a link."""
        if not isinstance(clip, str) or _folder(clip) not in self._folders:
            folders = ", ".join(map(str, sorted(self._folders)))
            raise DuetError(f"{str(clip)[:200]} is in none of the player's folders ({folders}): choose one of them.")


def _folder(clip: str) -> Path | None:
    """The real folder of a file; None for a name that no file can have."""
    try:
        return Path(clip).resolve().parent
    except (OSError, ValueError, RuntimeError):
        return None
