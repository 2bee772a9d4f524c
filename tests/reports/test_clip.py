"""A clip as pages embed it."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mmduet.errors import VideoError
from mmduet.reports import clip as clips
from mmduet.reports.clip import from_zero
from mmduet.video import read_frames, read_metadata
from tests.clips import HEIGHT, RATE, WIDTH, coded, write_clip, write_coded, write_sound, write_sounding


def late_clip(path: Path, *, by: float = 7.5, frames: int = 24) -> Path:
    """Twelve frames a second, the first at `by` s."""
    return write_clip(path, frames=frames, times=np.round(1000 * (by + np.arange(frames) / 12)))


def first_time(path: Path) -> float:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).time


def delayed(clip: Path, path: Path, *, by: float) -> Path:
    """The pictures, not the sound, come `by` s later."""
    with av.open(str(clip)) as reader, av.open(str(path), "w") as writer:
        copies = {track.index: writer.add_stream_from_template(track, opaque=True) for track in reader.streams}
        for packet in reader.demux():
            if packet.size:
                delay = by if packet.stream.type == "video" else 0
                packet.pts, packet.dts = (at + round(delay / packet.time_base) for at in (packet.pts, packet.dts))
                packet.stream = copies[packet.stream.index]
                writer.mux(packet)
    return path


def write_narrow(path: Path) -> Path:
    """VP9 whose pixels are twice as high as wide, the first frame at 0.4 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=RATE, options={"deadline": "realtime", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(1, 2)
        for number in range(10, 20):
            frame = av.VideoFrame.from_ndarray(coded(number), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.mkv"])
@pytest.mark.parametrize("by", [0.25, 7.5])
def test_the_first_frame_is_at_0(tmp_path: Path, name: str, by: float) -> None:
    given, moved = late_clip(tmp_path / name, by=by), tmp_path / f"moved {name}"
    assert first_time(given) == pytest.approx(by, abs=0.002), "else this tests nothing"
    moved.write_bytes(from_zero(given.read_bytes()))
    assert first_time(moved) == pytest.approx(0, abs=0.002)
    before, after = read_metadata(given), read_metadata(moved)
    assert (after.frame_count, after.duration) == (before.frame_count, pytest.approx(before.duration, abs=0.01))
    frames = [read_frames(path, fps=4, size=32).frames for path in (given, moved)]
    assert frames[0].equal(frames[1]), "the same pictures at the same times"
    assert from_zero(moved.read_bytes()) == moved.read_bytes()


@pytest.mark.parametrize(("encoder", "suffix"), [
    ("H.264", ".mp4"), ("HEVC open GOP", ".mp4"), ("VP8", ".webm"), ("VP9", ".webm"), ("AV1", ".mp4"), ("AV1", ".webm"),
    ("MPEG-4", ".mkv"),
])  # fmt: skip
def test_no_code_needs_an_encoder_to_be_moved(tmp_path: Path, encoder: str, suffix: str) -> None:
    """AV1's decoder has a name that no encoder has."""
    coded, late, moved = (tmp_path / f"{name}{suffix}" for name in ("coded", "late", "moved"))
    delayed(write_coded(coded, encoder, frames=12), late, by=2)
    assert first_time(late) == pytest.approx(2, abs=0.1), "else this tests nothing"
    moved.write_bytes(from_zero(late.read_bytes()))
    assert first_time(moved) == pytest.approx(0, abs=0.002)
    assert read_metadata(moved).frame_count == read_metadata(late).frame_count == 12


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.mkv"])
@pytest.mark.parametrize("by", [0, 0.001, 0.007, 0.01])
def test_a_clip_from_0_stays_as_it_is(tmp_path: Path, name: str, by: float) -> None:
    """Also where a start is later by less than can be seen, as with sound in Opus."""
    data = late_clip(tmp_path / name, by=by).read_bytes()
    assert from_zero(data) is data


def test_what_has_no_frame_stays_as_it_is(tmp_path: Path) -> None:
    sound = write_sound(tmp_path / "sound.mp4").read_bytes()
    for data in (b"", b"no video", b"\x1a\x45\xdf\xa3" + bytes(8), sound, sound[:500]):
        assert from_zero(data) is data


def test_sound_moves_with_the_pictures(tmp_path: Path) -> None:
    sounding, late, moved = (tmp_path / name for name in ("a.mp4", "late.mkv", "moved.mkv"))
    delayed(write_sounding(sounding, "H.264", frames=50), late, by=1)
    moved.write_bytes(from_zero(late.read_bytes()))
    with av.open(str(moved)) as container:
        sound = [frame.time for frame in container.decode(audio=0)]
    assert first_time(moved) == pytest.approx(0, abs=0.002)
    assert 0 <= sound[0] < 0.1, "a second of sound from before the first frame is left out"
    assert sound[-1] == pytest.approx(1, abs=0.2)


def test_the_shape_of_pixels_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept where PyAV can write it, and else the clip is refused: never a picture of another shape."""
    narrow, moved = write_narrow(tmp_path / "narrow.mp4"), tmp_path / "moved.mp4"
    moved.write_bytes(from_zero(narrow.read_bytes()))
    assert first_time(moved) == pytest.approx(0, abs=0.002)
    assert [read_metadata(path).width for path in (narrow, moved)] == [WIDTH / 2, WIDTH / 2]
    monkeypatch.setattr(clips, "_format", lambda _: "webm")
    with pytest.raises(VideoError, match=r"start at 0.4 s and cannot be moved to 0 .*become square.*re-encode"):
        from_zero(narrow.read_bytes())


def test_times_that_cannot_be_moved_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = late_clip(tmp_path / "a.webm").read_bytes()
    monkeypatch.setattr(clips, "_format", lambda _: "gif")
    with pytest.raises(VideoError, match=r"start at 7.5 s and cannot be moved to 0 .*re-encode"):
        from_zero(data)
