import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import av
import numpy as np
import pytest
import torch

from mmduet.errors import VideoError
from mmduet.policy import ScoreThreshold
from mmduet.streaming.session import DuetSession
from mmduet.video import iter_frames, read_frames
from mmduet.video.stream import StreamSource
from tests.clips import WIDTH, copy_stream, numbers_of, write_clip, write_coded, write_sound


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """8 s at 12 frames a second, in a container that may grow."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv", frames=96)


def joined(batches):
    return np.concatenate([batch.times for batch in batches]), torch.cat([batch.frames for batch in batches])


def test_a_finished_file_gives_the_frames_of_iter_frames(clip):
    times, frames = joined(StreamSource(clip, fps=3, size=32, patience=0.2))
    wanted = read_frames(clip, fps=3, size=32)
    assert times.tolist() == wanted.times.tolist()
    assert (frames.int() - wanted.frames.int()).abs().max() <= 2, "two decoders may round colours otherwise"


def test_a_growing_file_is_followed(clip, tmp_path):
    """The second half is written only once frames of the first have been seen."""
    data, growing = clip.read_bytes(), tmp_path / "growing.mkv"
    growing.write_bytes(data[: len(data) // 2])
    times = []
    for batch in StreamSource(growing, fps=3, size=32, patience=0.7):
        if not times:
            with growing.open("ab") as file:
                file.write(data[len(data) // 2 :])
        times += batch.times.tolist()
    assert times == read_frames(clip, fps=3, size=32).times.tolist()


def test_late_frames_are_dropped_and_counted(clip):
    source = StreamSource(clip, fps=3, size=32, waiting=4, drop_late=True, patience=0.2)
    batches, others = iter(source), set(threading.enumerate())
    first = next(batches)
    for reader in set(threading.enumerate()) - others:
        reader.join()  # all else is read while nobody takes it
    times, _ = joined([first, *batches])
    assert times[-4:].tolist() == [20 / 3, 21 / 3, 22 / 3, 23 / 3]
    assert len(times) + source.dropped == 24
    assert source.dropped > 0


def test_nothing_is_lost_without_drop_late(clip):
    source = StreamSource(clip, fps=3, size=32, waiting=2, patience=0.2)
    times, _ = joined(source)
    assert len(times) == 24
    assert source.dropped == 0


def test_a_session_watches_a_source(tiny, clip):
    session = DuetSession(*tiny, frame_fps=3, policy=ScoreThreshold(9))
    trace = session.run(StreamSource(clip, fps=3, size=32, patience=0.2))
    assert trace.times.tolist() == session.run(iter_frames(clip, fps=3, size=32)).times.tolist()


@pytest.mark.parametrize("make", [lambda path: path, lambda path: path.write_text("no") and path, write_sound])
def test_what_is_no_video_is_named(make, tmp_path):
    path = make(tmp_path / "sound.mp4")
    with pytest.raises(VideoError, match=r"sound\.mp4 cannot be read"):
        list(StreamSource(path, fps=2, size=32, patience=0.2))


@pytest.mark.parametrize("setting", ["fps", "size", "waiting", "patience"])
def test_settings_are_checked(setting):
    with pytest.raises(VideoError, match=f"{setting}=0"):
        StreamSource("x.mkv", **{"fps": 2, "size": 32, setting: 0})


@pytest.mark.parametrize("left_out", [1, 4, 7, 11])
@pytest.mark.parametrize(
    ("suffix", "encoder"), [(".mpg", "MPEG-2"), (".avi", "MPEG-4"), (".mkv", "H.264"), (".ts", "H.264 open GOP")]
)
def test_a_clip_that_begins_between_key_frames_gives_the_frames_of_iter_frames(tmp_path, suffix, encoder, left_out):
    """Its first packets give no picture, and so no time."""
    whole = write_coded(tmp_path / f"whole{suffix}", encoder, frames=120)
    cut = tmp_path / f"cut{suffix}"
    with av.open(str(whole)) as reader, av.open(str(cut), "w") as writer:
        copy = writer.add_stream_from_template(reader.streams.video[0])
        for packet in itertools.islice(reader.demux(video=0), left_out, None):
            if packet.dts is not None or packet.pts is not None:
                packet.stream = copy
                writer.mux(packet)
    wanted = read_frames(cut, fps=5, size=WIDTH).frames
    found = torch.cat([batch.frames for batch in StreamSource(cut, fps=5, size=WIDTH, patience=0.2)])
    assert numbers_of(found[: len(wanted)]) == numbers_of(wanted)


def test_a_stream_without_a_key_frame_is_an_error(tmp_path):
    whole = copy_stream(write_coded(tmp_path / "whole.mp4", frames=20), tmp_path / "whole.ts").read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole[len(whole) // 188 // 2 * 188 :])
    with pytest.raises(VideoError, match=r"cut\.ts cannot be read: it has no frame that can be decoded"):
        list(StreamSource(cut, fps=5, size=WIDTH, patience=0.2))


# sources without time stamps


class TenASecond(StreamSource):
    """A source whose frames arrive 0.1 s apart, by `clock`."""

    clock = 0.0

    def _frames_of(self, *args) -> list:
        frames = super()._frames_of(*args)
        TenASecond.clock += 0.1 * len(frames)
        return frames


@pytest.fixture
def pictures(tmp_path, monkeypatch) -> list[bytes]:
    monkeypatch.setattr("mmduet.video.stream.monotonic", lambda: TenASecond.clock)
    with av.open(str(write_coded(tmp_path / "clip.mjpeg", "MJPEG", frames=50))) as container:
        return [bytes(packet) for packet in container.demux() if packet.size]


@contextmanager
def served(kind: str, body: bytes, *, sized: bool) -> Iterator[str]:
    """The address of a server that answers once."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header(*(("Content-Length", str(len(body))) if sized else ("Transfer-Encoding", "chunked")))
            self.end_headers()
            self.wfile.write(body if sized else b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            self.close_connection = True

        def log_message(self, *args) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        thread.join()


def seen(address: str) -> list[int]:
    """The numbers of the frames at 2 a second."""
    return [number for batch in TenASecond(address, fps=2, size=WIDTH) for number in numbers_of(batch.frames)]


def test_a_camera_without_time_stamps_is_timed_by_the_clock(pictures):
    parts = [b"--part\r\nContent-Type: image/jpeg\r\n\r\n%b\r\n" % picture for picture in pictures]
    with served("multipart/x-mixed-replace; boundary=part", b"".join(parts), sized=False) as address:
        assert seen(address) == list(range(0, 50, 5))
    with served("video/x-motion-jpeg", b"".join(pictures), sized=False) as address:
        assert seen(address) == list(range(0, 50, 5))


def test_a_download_without_time_stamps_is_a_file(pictures):
    with served("video/x-motion-jpeg", b"".join(pictures), sized=True) as address:
        assert seen(address) == [0, 13, 25, 38]  # at 25 frames a second


def test_a_pipe_without_time_stamps_is_named(pictures, caplog):
    outlet, inlet = os.pipe()
    writer = threading.Thread(target=lambda: os.fdopen(inlet, "wb").write(b"".join(pictures)))
    writer.start()
    assert seen(f"pipe:{outlet}") == [0, 13, 25, 38]
    writer.join()
    os.close(outlet)
    assert "has no time stamps" in caplog.text
