"""Every container and code that users bring, also cut without re-encoding: the right frames, or one sentence."""

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from mmduet.errors import VideoError
from mmduet.video import CenterCrop, Within, read_frames, read_metadata
from mmduet.video.stream import StreamSource
from tests.clips import (
    ENCODERS,
    HEIGHT,
    RATE,
    WIDTH,
    coded,
    copy_stream,
    numbers_of,
    shown,
    turned,
    write_clip,
    write_coded,
    write_sound,
)  # fmt: skip

ALL = ["H.264", "H.264 without B", "H.264 open GOP", "HEVC open GOP", "MPEG-4", "MPEG-4 with B"]
CONTAINERS = {
    ".mp4": [*ALL, "MPEG-2", "VP9", "AV1", "MJPEG"],
    ".mov": [*ALL, "MJPEG"],
    ".mkv": [*ALL, "MPEG-2", "VP8", "VP9", "AV1", "MJPEG"],
    ".webm": ["VP8", "VP9", "AV1"],
    ".avi": ["H.264", "H.264 without B", "MPEG-4", "MPEG-4 with B", "MJPEG"],
    ".ts": [*ALL, "MPEG-2"],
    ".mpg": ["MPEG-2"],
    ".flv": ["H.264", "H.264 without B", "H.264 open GOP", "FLV1"],
    ".wmv": ["MPEG-4", "WMV2"],
    ".ogv": ["VP8"],
}
CUTS = [(0.5, 1.5), (1.0, 1.2), (1.33, 0.9), (2.2, 0.7), (2.6, 9.0)]  # start, length, s


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A clip of 3 s in each code."""
    folder = tmp_path_factory.mktemp("sources")
    place = {"FLV1": ".flv", "WMV2": ".wmv", "VP8": ".webm"}
    codes = [code for code in ENCODERS if code != "AV1"]  # PyAV cannot copy a stream whose decoder does not encode
    return {code: write_coded(folder / f"{code}{place.get(code, '.mp4')}", code, frames=75) for code in codes}


@pytest.fixture
def plain(tmp_path):
    return write_coded(tmp_path / "plain.mp4")


def right(path: Path, fps: float) -> list[int]:
    """The numbers that a sample must show."""
    return sampled(*shown(path), fps)


def sampled(times: np.ndarray, numbers: list[int], fps: float) -> list[int]:
    count = max(1, int((times[-1] + 1 / RATE) * fps + 1e-3))
    places = np.searchsorted(times, np.arange(count) / fps - 1e-3)
    return [numbers[place] for place in places if place < len(numbers)]


def of_stream(path: str | Path, fps: float) -> list[int]:
    """The numbers that StreamSource gives."""
    return [n for batch in StreamSource(path, fps=fps, size=WIDTH, patience=0.3) for n in numbers_of(batch.frames)]


def check(path: Path) -> str:
    """The decoder that read the file, once its frames have proved right; "refused" where no player reads it either."""
    try:
        metadata = read_metadata(path)
    except VideoError:
        with pytest.raises(av.FFmpegError):
            shown(path)
        return "refused"
    times, numbers = shown(path)
    assert metadata.frame_count == len(numbers)
    assert metadata.duration == pytest.approx(times[-1] + 1 / RATE, abs=0.03)
    assert numbers_of(read_frames(path, fps=7, size=WIDTH).frames) == sampled(times, numbers, 7), path.name
    return metadata.decoder


def test_each_code_in_each_container_whole_and_cut(sources, tmp_path):
    table = {}
    for suffix, codes in CONTAINERS.items():
        for code in codes:
            files = variants(sources, suffix, code, tmp_path)
            used = Counter(check(path) for path in files)
            table[suffix, code] = ", ".join(f"{name} {count}" for name, count in sorted(used.items()))
    print("".join(f"\n{suffix:6} {code:16} {used}" for (suffix, code), used in table.items()))
    assert "decord" in table[".mp4", "H.264"] or not has_decord()
    assert "decord" not in table[".mkv", "HEVC open GOP"]


@pytest.mark.parametrize(
    ("suffix", "code"), [(suffix, "MPEG-4" if suffix == ".avi" else codes[0]) for suffix, codes in CONTAINERS.items()]
)
def test_each_container_is_read_as_a_growing_file(sources, tmp_path, suffix, code):
    path = variants(sources, suffix, code, tmp_path)[0]
    assert of_stream(path, 5) == numbers_of(read_frames(path, fps=5, size=WIDTH, rounding="ceil").frames)


def test_an_ogg_file_is_read_as_a_growing_file(tmp_path):
    """Noise makes it larger than the part at its end in which FFmpeg looks for the duration."""
    path, rng = tmp_path / "noise.ogv", np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=RATE, options={"deadline": "realtime", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(50):
            picture = coded(number) // 2 + rng.integers(0, 120, (HEIGHT, WIDTH, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    assert len(of_stream(path, 5)) == 10


@pytest.mark.parametrize("suffix", [".mjpeg", ".MJPG"])
def test_jpeg_pictures_in_a_row(tmp_path, suffix):
    path = write_coded(tmp_path / "raw.mjpeg", "MJPEG").rename(tmp_path / f"raw{suffix}")
    assert read_metadata(path).duration == pytest.approx(4.0)
    assert numbers_of(read_frames(path, fps=5, size=WIDTH).frames) == of_stream(path, 5) == list(range(0, 100, 5))


def test_a_name_does_not_make_a_format(plain):
    assert read_metadata(plain.rename(plain.with_suffix(".mjpg"))).frame_count == 100


def variants(sources, suffix: str, code: str, folder: Path) -> list[Path]:
    """A clip and five cuts of it."""
    if code == "AV1" or (suffix == ".avi" and code.startswith("H.264")):  # which PyAV cannot copy there
        return [write_coded(folder / f"{code}{suffix}", code, frames=40)]
    whole = copy_stream(sources[code], folder / f"{code}{suffix}")
    files = [whole]
    options = {"avoid_negative_ts": "make_zero"} if suffix in (".flv", ".ogv") else {}  # which store no negative times
    for start, length in CUTS:
        path = folder / f"{code} {start}{suffix}"
        with suppress(av.FFmpegError):  # the writer may refuse a cut between frames that refer to each other
            files.append(copy_stream(sources[code], path, start=start, length=length, options=options))
    assert len(files) > 3
    return files


def has_decord() -> bool:
    return importlib.util.find_spec("decord") is not None


def test_without_decord_all_is_equal(plain, monkeypatch):
    wanted, batch = read_metadata(plain), read_frames(plain, fps=5, size=64)
    monkeypatch.setitem(sys.modules, "decord", None)  # importing it fails
    metadata = read_metadata(plain)
    assert metadata.decoder == "PyAV"
    assert (metadata.duration, metadata.frame_count) == (wanted.duration, wanted.frame_count)
    frames = read_frames(plain, fps=5, size=64).frames
    assert (frames.float() - batch.frames.float()).abs().mean() < 0.5


@pytest.mark.skipif(not has_decord(), reason="decord is not installed")
def test_decord_reads_ordinary_files_only(plain, tmp_path):
    assert read_metadata(plain).decoder == "decord"
    cut = copy_stream(plain, tmp_path / "cut.mp4", start=1.5, length=1)
    assert read_metadata(cut).decoder == "PyAV", "an edit list hides frames"
    assert check(cut) == "PyAV"


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_pictures_are_upright(tmp_path, quarters, mirrored):
    stored = coded(0b101001)
    upright = np.rot90(np.fliplr(stored) if mirrored else stored, -quarters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.clips.coded", lambda number: coded(0b101001))
        path = write_coded(tmp_path / "clip.mp4", frames=10)
    turned(path, quarters, mirrored=mirrored)
    metadata = read_metadata(path)
    assert (metadata.height, metadata.width) == upright.shape[:2]
    frame = read_frames(path, fps=1, size=WIDTH).frames[0]
    (batch,) = StreamSource(path, fps=1, size=WIDTH, patience=0.2)
    square = np.zeros((WIDTH, WIDTH, 3))
    top, left = ((WIDTH - length) // 2 for length in upright.shape[:2])
    square[top : top + upright.shape[0], left : left + upright.shape[1]] = upright
    for seen in (frame, batch.frames[0]):
        assert np.abs(seen.permute(1, 2, 0).numpy() - square).mean() < 6


def test_pixels_that_are_not_square_are_displayed_as_they_should_be(tmp_path):
    path = tmp_path / "wide.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(coded(4095), format="rgb24")))
        container.mux(stream.encode())
    assert (read_metadata(path).width, read_metadata(path).height) == (2 * WIDTH, HEIGHT)
    frame = read_frames(path, fps=1, size=WIDTH).frames[0, 0]
    assert (frame > 128).sum() == pytest.approx(WIDTH * HEIGHT / 2, rel=0.05)


def test_a_recording_without_duration_and_index(tmp_path):
    path = write_coded(tmp_path / "live.webm", "VP8", frames=50, options={"live": "1"})
    assert check(path) == "PyAV"
    assert read_metadata(path).duration == pytest.approx(2.0)


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="the scheduling of threads is Linux's")
def test_an_encoder_leaves_the_scheduling_of_the_tests_as_it_was(tmp_path):
    before = os.sched_getscheduler(0)
    write_coded(tmp_path / "clip.mkv", "AV1", frames=2)
    assert os.sched_getscheduler(0) == before


def test_a_single_frame(tmp_path):
    path = write_coded(tmp_path / "one.mkv", frames=1)
    metadata = read_metadata(path)
    assert metadata.frame_count == 1
    assert 0 < metadata.duration <= 1
    assert numbers_of(read_frames(path, fps=2, size=WIDTH).frames) == of_stream(path, 2) == [0]


def test_a_cover_is_not_the_video(plain, tmp_path):
    path = tmp_path / "cover.mp4"
    with av.open(str(plain)) as reader, av.open(str(path), "w") as writer:
        cover = writer.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 64, 64, "yuvj420p", 1 << 10
        copy = writer.add_stream_from_template(reader.streams.video[0])
        writer.mux(cover.encode(av.VideoFrame(64, 64, "yuvj420p")))
        writer.mux(cover.encode())
        for packet in reader.demux(reader.streams.video[0]):
            if packet.size:
                packet.stream = copy
                writer.mux(packet)
    assert read_metadata(path).frame_count == 100
    assert of_stream(path, 2) == numbers_of(read_frames(path, fps=2, size=WIDTH).frames) == right(plain, 2)


def test_a_colon_in_a_name(plain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain.rename("talk:part1.mp4")
    assert read_metadata("talk:part1.mp4").frame_count == 100
    assert len(of_stream("talk:part1.mp4", 2)) == 8


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_parts_that_start_again_follow_each_other(plain, tmp_path, suffix):
    part = copy_stream(plain, tmp_path / f"part{suffix}").read_bytes()
    joined = tmp_path / f"joined{suffix}"
    joined.write_bytes(part + part)
    source = StreamSource(joined, fps=5, size=WIDTH, patience=0.3)
    numbers = [number for batch in source for number in numbers_of(batch.frames)]
    assert numbers == list(range(0, 100, 5)) * 2
    assert source.restarts == 1
    assert numbers_of(read_frames(joined, fps=5, size=WIDTH).frames) == numbers
    assert read_metadata(joined).duration == pytest.approx(8.0, abs=0.01)


@pytest.mark.parametrize("size", [WIDTH, CenterCrop(WIDTH), Within(WIDTH)])
def test_a_size_that_changes_midway_changes_no_shape(tmp_path, size):
    parts = [write_clip(tmp_path / f"{width}.mp4", size=(width, 48)) for width in (64, 96)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(copy_stream(part, part.with_suffix(".ts")).read_bytes() for part in parts))
    frames = read_frames(joined, fps=4, size=size, rounding="ceil").frames
    streamed = torch.cat([batch.frames for batch in StreamSource(joined, fps=4, size=size, patience=0.3)])
    assert len(frames) == 16
    assert frames.shape[-2:] == ((48, 64) if isinstance(size, Within) else (WIDTH, WIDTH))
    assert (frames.int() - streamed.int()).abs().max() <= 2


def test_a_growing_fragmented_mp4_is_read_to_its_end(tmp_path):
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    data = write_coded(tmp_path / "whole.mp4", options=options).read_bytes()
    growing = tmp_path / "growing.mp4"
    growing.write_bytes(data[: len(data) // 2])
    numbers = []
    for batch in StreamSource(growing, fps=5, size=WIDTH, patience=0.7):
        if not numbers:
            with growing.open("ab") as file:
                file.write(data[len(data) // 2 :])
        numbers += numbers_of(batch.frames)
    assert numbers == list(range(0, 100, 5))


def test_a_list_of_files_is_no_video(plain, tmp_path):
    for text in (f"ffconcat version 1.0\nfile {plain.name}\n", f"#EXTM3U\n#EXTINF:4,\n{plain.name}\n#EXT-X-ENDLIST\n"):
        (tmp_path / "list.mp4").write_text(text)
        with pytest.raises(VideoError, match="not a video that can be opened"):
            read_metadata(tmp_path / "list.mp4")


def test_what_is_no_regular_file_never_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr("mmduet.video.stream.STALL", 0.2)
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    with pytest.raises(VideoError, match=r"pipe\.mp4 is a pipe or a device"):
        read_metadata(pipe)
    with pytest.raises(VideoError, match=r"pipe\.mp4 cannot be read: it sent nothing"):
        of_stream(pipe, 2)
    os.close(os.open(pipe, os.O_WRONLY))  # lets the reader's thread go


@pytest.mark.parametrize("name", ["x" * 300 + ".mp4", "zero\0byte.mp4", "surrogate\udcff.mp4"])
def test_a_name_that_cannot_be_is_one_sentence(name):
    with pytest.raises(VideoError):
        read_metadata(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_no_permission_is_one_sentence(plain):
    plain.chmod(0)
    with pytest.raises(VideoError, match="Permission denied"):
        read_metadata(plain)


def test_sound_alone_is_one_sentence_in_a_stream(tmp_path):
    with pytest.raises(VideoError, match=r"sound\.mp4 cannot be read: it has no picture track"):
        of_stream(write_sound(tmp_path / "sound.mp4"), 2)


DAMAGE = """
import random, sys
from pathlib import Path
from mmduet.errors import VideoError
from mmduet.video.stream import StreamSource
from mmduet.video import iter_frames, read_metadata
rng, whole = random.Random(0), [Path(path) for path in sys.argv[2:]]
damaged = Path(sys.argv[1])
for n in range(16):
    data = bytearray(whole[n % len(whole)].read_bytes())
    at, length = rng.randrange(len(data)), rng.randrange(1, len(data) // 2)
    match n // len(whole) % 4:
        case 0:
            data = data[:at]
        case 1:
            for _ in range(10):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 2:
            data[at : at + length] = bytes(len(data[at : at + length]))
        case 3:
            data = data[:at] + data[length:]
    path = damaged / f"{n}{whole[n % len(whole)].suffix}"
    path.write_bytes(data)
    for read in (
        read_metadata, lambda path: list(iter_frames(path, fps=5, size=32)),
        lambda path: list(StreamSource(path, fps=5, size=32, patience=0.1)),
    ):
        try:
            read(path)
        except VideoError as error:
            assert "\\n" not in str(error)
from mmduet.system.memory import peak_memory
print(round(peak_memory()))
"""


def test_damaged_files_never_hang_crash_or_fill_the_memory(plain, tmp_path):
    """In a process of its own, as a crash of a decoder would end this one."""
    whole = [plain, *(copy_stream(plain, tmp_path / f"whole{suffix}") for suffix in (".mkv", ".ts", ".flv"))]
    (tmp_path / "damaged").mkdir()
    command = [sys.executable, "-c", DAMAGE, str(tmp_path / "damaged"), *map(str, whole)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-1000:]
    assert int(done.stdout) < 1000, "MB"
