import itertools
import threading

import av
import numpy as np
import pytest
import torch

from mmduet.errors import VideoError
from mmduet.policy import ScoreThreshold
from mmduet.streaming.session import DuetSession
from mmduet.video import iter_frames, read_frames
from mmduet.video.stream import StreamSource
from tests.clips import WIDTH, numbers_of, write_clip, write_coded, write_sound


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
