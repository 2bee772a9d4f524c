"""A live player of the `tiny` model and two clips."""

from pathlib import Path

import pytest
from mmduet_widgets import LiveDuet

from mmduet.policy import ScoreThreshold
from mmduet.streaming.session import DuetSession
from tests.clips import write_clip
from tests.widgets.live import PATIENCE, watching


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [write_clip(folder / name, frames=frames) for name, frames in (("one.mp4", 36), ("two.webm", 24))]


@pytest.fixture
def session(tiny) -> DuetSession:
    return DuetSession(*tiny, policy=ScoreThreshold(0.5), frame_fps=4.0, max_new_tokens=3)


@pytest.fixture
def player(session: DuetSession, clips: list[Path]):
    player = LiveDuet(session, clips)
    player.real_time = False
    yield player
    player.close()
    player.wait(PATIENCE)
    assert watching() == 0
