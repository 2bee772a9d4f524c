"""AppPage: a player at once, and the model meanwhile."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from mmduet_widgets import AppPage, DuetPlayer, LiveDuet

from mmduet.errors import DuetError
from tests.clips import write_clip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4")


def finish() -> None:
    """Wait for every load."""
    for thread in threading.enumerate():
        if thread.name == "mmduet-loader":
            thread.join(60)


def test_the_player_is_there_before_what_is_slow_to_import(clip: Path) -> None:
    code = f"""
import sys
from mmduet_widgets import AppPage
page = AppPage([{str(clip)!r}])
assert type(page.children[1]).__name__ == "DuetPlayer" and page.children[1].video
sys.exit(", ".join({{"torch", "transformers", "sklearn"}} & set(sys.modules)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_live_player_takes_its_place(clip: Path) -> None:
    page = AppPage([clip], model="tiny", threshold=0.25, max_new_tokens=3)
    assert isinstance(page.children[1], DuetPlayer)
    assert not isinstance(page.children[1], LiveDuet)
    assert page.live is None
    page.load()
    finish()
    live = page.live
    assert page.children[1] is live
    assert isinstance(live, LiveDuet)
    assert (live.threshold, live.clips, live.waiting) == (0.25, [str(clip)], [*page._queries])
    assert page._status.value == "tiny is loaded: press Watch."


def test_a_model_may_wait_until_a_page_shows_the_player(clip: Path) -> None:
    page = AppPage([clip], model="tiny", max_new_tokens=3)
    page.load(when_shown=True)
    preview = page.children[1]
    preview._handle_custom_msg({"export": "srt"}, [])
    assert not [thread for thread in threading.enumerate() if thread.name == "mmduet-loader"]
    assert page.live is None
    preview._handle_custom_msg({"shown": True}, [])
    finish()
    live = page.live
    assert page.children[1] is live
    assert live is not None
    preview._handle_custom_msg({"shown": True}, [])
    finish()
    assert page.live is live, "a second page loads it no second time"


def test_another_choice_frees_the_earlier_model(clip: Path) -> None:
    page = AppPage([clip], model="tiny", max_new_tokens=3)
    page.load()
    finish()
    first = page.live
    page._device.value = "cpu"
    finish()
    assert page.live is not first
    assert first.comm is None, "it is closed"
    assert page.children[1] is page.live


def test_only_the_latest_choice_is_loaded(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    began, go = threading.Event(), threading.Event()

    def load(page: AppPage, model: str, device: str) -> Any:
        asked.append(model)
        began.set()
        go.wait(60)
        return DuetPlayer(clip, page._preview.trace, policy=page._policy)

    monkeypatch.setattr(AppPage, "_live_player", load)
    page = AppPage([clip], model="tiny")
    page.load()
    began.wait(60)
    page._model.value = "mmduet-7b"
    page._model.value = "mmduet2-3b"
    go.set()
    finish()
    assert asked == ["tiny", "mmduet2-3b"]
    assert page._status.value == "mmduet2-3b is loaded: press Watch."


def test_a_model_that_cannot_be_loaded_is_one_sentence(clip: Path) -> None:
    page = AppPage([clip], model="nano")
    page.load()
    finish()
    assert page._status.value.startswith("'nano' is no preset")
    assert page.children[1] is page._preview


def test_there_must_be_a_clip() -> None:
    with pytest.raises(DuetError, match="run `mmduet scenes"):
        AppPage([])
