"""BrokenVideos: what is done about videos that cannot be used. Never is another one taken in their place."""

from pathlib import Path
from typing import Literal

from mmduet.errors import DuetError
from mmduet.files import write_json

Policy = Literal["stop", "skip"]


class BrokenVideos:
    """``stop`` raises at the first one; ``skip`` leaves it out, and raises when there are more than `limit`.

    found: what is wrong with each. report: a JSON file that lists them, written anew with each one.
    """

    def __init__(self, policy: Policy = "stop", *, limit: int = 0, report: Path | None = None):
        self.policy, self.limit, self.report = policy, limit, report
        self.found: dict[Path, str] = {}

    def add(self, video: Path, error: DuetError) -> None:
        """Note one. Raises `error` itself under ``stop``, DuetError past the limit."""
        if self.policy == "stop":
            raise error
        self.found[video] = str(error)
        if self.report is not None:
            write_json(self.report, {str(path): why for path, why in self.found.items()})
        if len(self.found) > self.limit:
            raise DuetError(
                f"{len(self.found)} videos cannot be used, the limit is {self.limit}; the last: {error} "
                f"Mend them{f' (all are in {self.report})' if self.report else ''}, or raise the limit."
            )
