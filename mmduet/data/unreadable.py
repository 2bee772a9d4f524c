"""UnreadableVideos: the policy for videos that cannot be used. No other video ever takes their place."""

from pathlib import Path
from typing import Literal

from mmduet.errors import DuetError
from mmduet.files import write_json

Policy = Literal["stop", "skip"]


class UnreadableVideos:
    """Stops at the first unreadable video, or skips up to a limit of them.

    Attributes:
        found: Each unreadable video and its error.
    """

    def __init__(self, policy: Policy = "stop", *, limit: int = 0, report: Path | None = None):
        """Choose a policy.

        Args:
            policy: ``stop`` raises at the first unreadable video; ``skip`` leaves it out.
            limit: ``skip`` raises when there are more than this.
            report: A JSON file that lists the videos, written again with each one.
        """
        self.policy, self.limit, self.report = policy, limit, report
        self.found: dict[Path, str] = {}

    def add(self, video: Path, error: DuetError) -> None:
        """Record an unreadable video.

        Raises:
            DuetError: `error` itself under ``stop``; under ``skip``, the limit is exceeded.
        """
        if self.policy == "stop":
            raise error
        self.found[video] = str(error)
        if self.report is not None:
            write_json(self.report, {str(path): reason for path, reason in self.found.items()})
        if len(self.found) > self.limit:
            listed = f" (all are listed in {self.report})" if self.report else ""
            raise DuetError(
                f"{len(self.found)} videos cannot be used, the limit is {self.limit}; the last: {error} "
                f"Repair them{listed}, or raise the limit."
            )
