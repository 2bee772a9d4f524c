"""Camera: what a page sends becomes frames in time, or is refused; late frames are dropped and counted."""

import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmduet_widgets.camera import Camera

from mmduet.errors import DuetError, VideoError
from mmduet.video import FrameBatch, Within
from tests.clips import number_of, numbers_of
from tests.widgets.camera_frames import jpeg, noise, plain

PATIENCE = 30  # s


def make(**options: Any) -> Camera:
    return Camera(**{"run": 1, "fps": 4.0, "size": 160, **options})


def send(camera: Camera, number: int, content: bytes | None = None) -> None:
    camera.add({"run": 1, "number": number}, [memoryview(jpeg(number) if content is None else content)])


def test_frames_come_at_their_times_with_their_pixels() -> None:
    camera = make()
    frames = iter(camera)
    for number in (0, 1, 5):
        send(camera, number)
        batch = next(frames)
        assert batch.times.tolist() == [number / 4]
        assert batch.frames.shape == (1, 3, 160, 160)
        assert numbers_of(batch.frames) == [number]
    assert camera.state == {"run": 1, "fps": 4.0, "side": 160, "received": 5, "scored": -1, "dropped": 3}
    camera.mark_scored()
    assert camera.state["scored"] == 5


def test_a_frame_keeps_its_shape_where_the_model_takes_it() -> None:
    camera = make(size=Within(1000))
    assert camera.state["side"] == 640, "a page sends no more than that"
    send(camera, 3)
    frame = next(iter(camera)).frames
    assert frame.shape == (1, 3, 120, 160)
    assert number_of(frame[0].permute(1, 2, 0).numpy()) == 3


@given(numbers=st.lists(st.integers(0, 30), min_size=1), taken=st.data())
def test_each_frame_is_taken_or_counted_and_none_is_older_than_the_last(
    numbers: list[int], taken: st.DataObject
) -> None:
    camera, given, content = make(size=8), [], plain(8, 8)
    frames = iter(camera)
    for number in numbers:
        send(camera, number, content)
        if camera._newest and taken.draw(st.booleans()):
            given.append(round(float(next(frames).times[0]) * 4))
    assert given == sorted(set(given))
    assert len(given) + camera.dropped + (camera._newest is not None) == max(numbers) + 1


def test_only_the_newest_frame_waits() -> None:
    camera = make()
    for number in range(5):
        send(camera, number)
    assert numbers_of(next(iter(camera)).frames) == [4]
    assert camera.dropped == 4


def test_frames_out_of_order_and_of_other_runs_are_ignored() -> None:
    camera = make()
    send(camera, 3)
    for number in (2, 3, 0):
        send(camera, number)
    camera.add({"run": 0, "number": 9}, [jpeg(9)])
    assert (camera.state["received"], camera.dropped) == (3, 3)
    assert numbers_of(next(iter(camera)).frames) == [3]


WRONG: list[tuple[bytes, str]] = [
    (b"", r"frame 7 of the camera: has 0 bytes: a frame is a JPEG of 1 to 1,000,000 bytes"),
    (b"no picture", "is no complete JPEG file"),
    (jpeg()[:500], "is no complete JPEG file"),
    (jpeg()[:-200], "is no complete JPEG file"),
    (plain(64, 48, format="PNG"), "is no complete JPEG file"),
    (plain(1281, 8), r"has 1281 x 8 pixels, and a side has at most 1280: send a smaller one"),
    (noise(1200), r"has [\d,]+ bytes: .* send a smaller one"),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_what_is_no_frame_is_refused_and_the_next_one_is_taken(content: bytes, message: str) -> None:
    camera = make()
    with pytest.raises(DuetError, match=message):
        send(camera, 7, content)
    assert (camera.state["received"], camera.dropped) == (7, 8), "those before it, and itself"
    send(camera, 8)
    assert numbers_of(next(iter(camera)).frames) == [8]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_of_very_many_pixels_is_not_decoded() -> None:
    content = bytearray(plain(64, 48))
    size = content.index(b"\xff\xc0") + 5
    content[size : size + 4] = b"\xff\xff\xff\xff"  # 65,535 by 65,535, in a few hundred bytes
    with pytest.raises(DuetError, match="is no complete JPEG file"):
        send(make(), 0, bytes(content))
    content[size : size + 4] = b"\x27\x10\x27\x10"
    with pytest.raises(DuetError, match="has 10000 x 10000 pixels"):
        send(make(), 0, bytes(content))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colours_become_rgb(mode: str) -> None:
    camera = make(size=Within(64))
    send(camera, 0, plain(64, 48, mode=mode))
    assert next(iter(camera)).frames.shape == (1, 3, 48, 64)


@given(content=st.binary(max_size=200) | st.binary(max_size=200).map(lambda rest: jpeg()[:300] + rest))
def test_no_bytes_raise_anything_but_a_duet_error(content: bytes) -> None:
    with pytest.raises(DuetError):
        send(make(), 0, content)


MESSAGES: list[tuple[Any, str]] = [
    (None, "the page's camera"),
    ({"run": 1}, "field number: Field required"),
    ({"run": 1, "number": -1}, "greater than or equal to 0"),
    ({"run": 1, "number": 10**400}, "less than"),
    ({"run": 1, "number": 1.5}, "valid integer"),
    ({"run": "1", "number": True}, "valid integer"),
]


@pytest.mark.parametrize(("message", "error"), MESSAGES)
def test_a_wrong_message_is_refused(message: Any, error: str) -> None:
    camera = make()
    with pytest.raises(DuetError, match=error):
        camera.add(message, [jpeg()])
    assert camera.state["received"] == -1


def test_only_a_single_file_is_a_frame() -> None:
    half = len(jpeg()) // 2
    camera = make()
    with pytest.raises(DuetError, match="has 0 bytes"):
        camera.add({"run": 1, "number": 0}, [])
    camera.add({"run": 1, "number": 1}, [jpeg(1)[:half], memoryview(jpeg(1))[half:]])
    assert numbers_of(next(iter(camera)).frames) == [1], "in pieces, too"


def test_a_page_that_never_sends_is_reported() -> None:
    with pytest.raises(VideoError, match="no frame came for 1 s: press Watch on the page, and allow the camera"):
        next(iter(make(fps=2.0, patience=0.05)))


def test_a_page_that_is_gone_ends_it() -> None:
    camera = make(fps=100.0, patience=0.05)
    send(camera, 0)
    assert len(list(camera)) == 1


def test_a_pause_may_take_longer_than_the_patience() -> None:
    camera, batches = make(fps=100.0, patience=0.1), []
    frames = iter(camera)
    camera.pause(True)
    thread = threading.Thread(target=lambda: batches.append(next(frames)), daemon=True)
    thread.start()
    thread.join(0.3)
    assert (thread.is_alive(), batches) == (True, [])
    camera.pause(False)
    send(camera, 0)
    thread.join(PATIENCE)
    assert numbers_of(batches[0].frames) == [0]


def test_it_ends_while_a_thread_waits_for_a_frame() -> None:
    camera, batches = make(patience=10 * PATIENCE), list[FrameBatch]()
    thread = threading.Thread(target=lambda: batches.extend(camera), daemon=True)
    began = time.monotonic()
    thread.start()
    camera.end()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert time.monotonic() - began < PATIENCE
    send(camera, 0)
    assert (batches, camera.state["received"], list(camera)) == ([], -1, [])
