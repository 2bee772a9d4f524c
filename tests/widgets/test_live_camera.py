"""LiveDuet with the page's camera in the clip's place."""

import threading
from typing import Any

import pytest
from mmduet_widgets import LiveDuet
from mmduet_widgets import camera as camera_module
from mmduet_widgets.camera import CAMERA

from mmduet.checkpoints import build_tiny_words
from mmduet.policy import ScoreThreshold
from mmduet.streaming import LIVE_CONTEXT
from mmduet.streaming.session import DuetSession
from mmduet.trace import Query
from tests.widgets.camera_frames import jpeg
from tests.widgets.live import PATIENCE, post, sent
from tests.widgets.players import inner


@pytest.fixture
def filmed(player: LiveDuet) -> LiveDuet:
    """A player whose page has chosen the camera."""
    sent(player, clip=CAMERA)
    return player


def send(player: LiveDuet, number: int, content: bytes | None = None, *, run: int | None = None) -> None:
    """A frame from the page."""
    frame = {"run": player.camera["run"] if run is None else run, "number": number}
    player._handle_custom_msg({"frame": frame}, [memoryview(jpeg(number) if content is None else content)])


def wait_until(player: LiveDuet, name: str, reached: Any) -> None:
    """Until a trait's value satisfies a condition."""
    due = threading.Event()
    player.observe(lambda _: reached(getattr(player, name)) and due.set(), name)
    assert reached(getattr(player, name)) or due.wait(PATIENCE), f"{name} stays {getattr(player, name)}"


def scored(player: LiveDuet, number: int) -> None:
    """Send a frame, and wait for its scores."""
    send(player, number)
    wait_until(player, "camera", lambda camera: camera["scored"] == number)


def test_it_is_chosen_like_a_clip(filmed: LiveDuet) -> None:
    assert (filmed.clip, filmed.title, filmed.video, filmed.duration, filmed.message) == (
        CAMERA,
        "Camera",
        b"",
        0.0,
        "",
    )
    assert "are not stored" in filmed.note
    sent(filmed, clip=filmed.clips[0])
    assert (filmed.title, filmed.note) == ("one.mp4", "")


def test_frames_are_scored_and_answered(filmed: LiveDuet) -> None:
    filmed.threshold = -1.0
    post(filmed, command="ask", text="what?")
    post(filmed, command="start")
    assert (filmed.state, filmed.camera["run"], filmed.camera["fps"]) == ("running", 1, 4.0)
    for number in (0, 1, 3):
        scored(filmed, number)
    assert (filmed.camera["received"], filmed.camera["dropped"]) == (3, 1)
    post(filmed, command="stop")
    filmed.wait(PATIENCE)
    assert (filmed.state, filmed.message) == ("stopped", "")
    assert filmed.trace.times.tolist() == [0.0, 0.25, 0.75]
    assert filmed.trace.queries == [Query(0.0, "what?")]
    assert filmed.trace.responses[0].time == 0.0
    assert filmed.picture == {}, "the page has the pictures already"
    assert "are not stored" in inner(filmed.to_html())


def test_its_scores_are_those_of_the_same_frames_in_a_file(filmed: LiveDuet, tiny: Any) -> None:
    model, processor = tiny
    filmed.start()
    for number in range(4):
        scored(filmed, number)
    watcher = filmed._watcher
    assert watcher
    assert watcher.session.context_frames == LIVE_CONTEXT, "a camera has no end"
    filmed.stop()
    filmed.wait(PATIENCE)
    made = camera_module.Camera(run=1, fps=4.0, size=processor.frame.fit)
    frames = iter(made)
    session = DuetSession(model, processor, policy=ScoreThreshold(0.5), frame_fps=4.0, max_new_tokens=3)
    events: list[Any] = []
    for number in range(4):
        made.add({"run": 1, "number": number}, [jpeg(number)])
        events += session.feed([next(frames)])
    assert filmed.trace.informative.tolist() == pytest.approx(
        [event.informative for event in events if hasattr(event, "informative")], abs=1e-5
    )


def test_a_bound_of_the_session_is_kept(session: DuetSession, filmed: LiveDuet) -> None:
    session.context_frames = 6
    filmed.start()
    assert filmed._watcher
    assert filmed._watcher.session.context_frames == 6


def test_late_frames_are_dropped_and_counted(filmed: LiveDuet, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, go = threading.Event(), threading.Event()
    encode = DuetSession._encode

    def slow(self, frames):
        at_work.set()
        go.wait(PATIENCE)
        return encode(self, frames)

    monkeypatch.setattr(DuetSession, "_encode", slow)
    filmed.start()
    send(filmed, 0)
    assert at_work.wait(PATIENCE)
    for number in range(1, 8):
        send(filmed, number)
        assert filmed.camera["received"] == number, "each is acknowledged at once"
    assert filmed.camera["dropped"] == 6
    go.set()
    wait_until(filmed, "camera", lambda camera: camera["scored"] == 7)
    filmed.stop()
    filmed.wait(PATIENCE)
    assert filmed.trace.times.tolist() == [0.0, 7 / 4], "the newest one comes next"


def test_what_is_no_frame_is_reported_and_the_run_goes_on(filmed: LiveDuet) -> None:
    filmed.start()
    scored(filmed, 0)
    send(filmed, 1, b"no picture")
    assert "frame 1 of the camera: is no complete JPEG file" in filmed.message
    assert (filmed.camera["received"], filmed.camera["dropped"]) == (1, 1)
    filmed._handle_custom_msg({"frame": "?"}, [])
    assert "the page's camera" in filmed.message
    scored(filmed, 2)
    assert filmed.state == "running"


def test_frames_of_an_earlier_run_do_not_enter_the_next(filmed: LiveDuet) -> None:
    filmed.start()
    scored(filmed, 0)
    filmed.start()
    assert (filmed.camera["run"], filmed.camera["received"]) == (2, -1)
    send(filmed, 90, run=1)
    scored(filmed, 0)
    assert filmed.trace.times.tolist() == [0.0]


def test_a_pause_waits_and_a_stop_ends_the_wait(filmed: LiveDuet) -> None:
    filmed.real_time = True  # a camera keeps its own pace
    filmed.start()
    scored(filmed, 0)
    filmed.pause()
    send(filmed, 1)
    filmed.wait(0.1)
    assert (filmed.state, len(filmed.trace)) == ("paused", 1)
    filmed.resume()
    wait_until(filmed, "camera", lambda camera: camera["scored"] == 1)
    assert filmed.progress.get("left") is None, "a camera has no end"
    filmed.stop()
    filmed.wait(PATIENCE)
    assert filmed.state == "stopped"
    send(filmed, 2)
    assert len(filmed.trace) == 2


def test_another_clip_ends_the_camera(filmed: LiveDuet) -> None:
    filmed.start()
    scored(filmed, 0)
    sent(filmed, clip=filmed.clips[0])
    filmed.wait(PATIENCE)
    assert (filmed.state, filmed.title) == ("idle", "one.mp4")
    filmed.start()
    send(filmed, 5)
    filmed.wait(PATIENCE)
    assert (filmed.state, len(filmed.trace)) == ("ended", 12)


def test_a_page_that_is_gone_ends_the_run(filmed: LiveDuet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module.Camera.__init__, "__kwdefaults__", {"patience": 0.1})
    filmed.start()
    scored(filmed, 0)
    filmed.wait(PATIENCE)
    assert (filmed.state, filmed.message, len(filmed.trace)) == ("ended", "", 1)
    filmed.start()
    filmed.wait(PATIENCE)
    assert filmed.state == "error"
    assert "press Watch on the page, and allow the camera" in filmed.message


def test_a_model_that_decides_in_words(clips: list[Any]) -> None:
    player = LiveDuet(DuetSession(*build_tiny_words(), frame_fps=2.0, max_new_tokens=2), clips)
    player.clip = CAMERA
    player.start()
    send(player, 0)
    scored(player, 1)
    player.stop()
    player.wait(PATIENCE)
    assert player.trace.times.tolist() == [1.0]
    player.close()
