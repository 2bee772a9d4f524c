import json
from pathlib import Path

import pytest

from mmduet.data.unreadable import UnreadableVideos
from mmduet.errors import DuetError, VideoError

ERROR = VideoError("a.mp4 is cut off: get it again.")


def test_stop_is_the_error_itself():
    with pytest.raises(VideoError, match=r"a\.mp4 is cut off"):
        UnreadableVideos().add(Path("a.mp4"), ERROR)


def test_skip_lists_them_up_to_a_limit(tmp_path):
    broken = UnreadableVideos("skip", limit=2, report=tmp_path / "out" / "broken.json")
    for name in ("a.mp4", "b.mp4", "a.mp4"):
        broken.add(Path(name), ERROR)
    assert json.loads(broken.report.read_text()) == {"a.mp4": str(ERROR), "b.mp4": str(ERROR)}
    with pytest.raises(DuetError, match=r"3 videos cannot be used, the limit is 2; the last: a\.mp4 is cut off"):
        broken.add(Path("c.mp4"), ERROR)
