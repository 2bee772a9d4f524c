"""`mmduet watch`: what it prints and writes, of a clip and of a stream that breaks off."""

import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mmduet import DuetSession, DuetTrace, Query, Response, ScoreThreshold, StreamSource, load_duet, read_frames
from mmduet.cli import app, watch
from mmduet.errors import DuetError, FileError
from mmduet.video import FrameBatch
from tests.clips import copy_stream, write_clip, write_coded

runner = CliRunner()
SMALL = ["--model", "tiny", "--threshold", "0", "--max-new-tokens", "3"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "my clip.mp4", frames=36)


@pytest.fixture(scope="module")
def expected(clip: Path) -> DuetTrace:
    """The trace of the session itself."""
    model, processor = load_duet("tiny")
    frames = read_frames(clip, fps=2, size=processor.frame.fit).frames
    session = DuetSession(model, processor, policy=ScoreThreshold(0.0), frame_fps=2, max_new_tokens=3)
    return session.run(frames, [Query(0.0, "What?"), Query(1.5, "And now?")])


PICTURE = "data:image/jpeg;base64,"  # of the film strip
ASKED = ["--query", "What?", "--query", "And now? @ 1.5"]


def test_it_prints_what_is_said_and_writes_what_was_seen(clip: Path, expected: DuetTrace, tmp_path: Path) -> None:
    files = [
        part for form in ("srt", "vtt", "csv", "json", "html") for part in (f"--{form}", str(tmp_path / f"a.{form}"))
    ]
    done = runner.invoke(app, ["watch", str(clip), *SMALL, *ASKED, *files])
    assert done.exit_code == 0, done.output
    trace = DuetTrace.from_json((tmp_path / "a.json").read_text())
    np.testing.assert_array_equal(trace.times, expected.times)
    np.testing.assert_allclose(trace.informative, expected.informative, atol=1e-5)
    assert trace.responses == expected.responses
    assert trace.queries == expected.queries
    said = [(float(line.split()[0]), line.split()[2]) for line in done.output.splitlines() if line.startswith("  ")]
    assert said == [
        (round(turn.time, 1), "user" if isinstance(turn, Query) else "model")
        for turn in sorted([*trace.queries, *trace.responses], key=lambda turn: turn.time)
    ]
    assert (tmp_path / "a.srt").read_text() == trace.to_srt(3.0)
    assert (tmp_path / "a.csv").read_bytes().decode() == trace.to_csv()
    assert len(list(webvtt.read(str(tmp_path / "a.vtt")))) == len([r for r in trace.responses if r.text.strip()])
    page = (tmp_path / "a.html").read_text()
    assert "<title>my clip.mp4</title>" in page
    assert page.count("data:video/mp4;base64,") == page.count("data:text/vtt;base64,") == 1
    again = runner.invoke(app, ["watch", str(clip), *SMALL, *files], input="y\n")
    assert again.exit_code == 0, again.output
    assert "Replace it?" in again.output


@pytest.mark.parametrize("count", [1, 35, 36, 37, 42, 43])
def test_the_page_of_a_clip_of_any_length_has_all_its_frames(tmp_path: Path, count: int) -> None:
    clip, page = write_clip(tmp_path / "a.mp4", frames=count), tmp_path / "a.html"
    done = runner.invoke(app, ["watch", str(clip), *SMALL, "--html", str(page)])
    assert done.exit_code == 0, done.output
    frames = math.ceil(count / 6)
    assert f"{frames} frames, " in done.output
    assert page.read_text().count(PICTURE) == frames


@pytest.mark.parametrize("name", ["my clip.mp4", "notes.srt", "other.vtt", "a.json", "a.html", "folder"])
def test_files_of_others_stay(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("mmduet.checkpoints.load_duet", lambda *_, **__: pytest.fail("a model is loaded"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "my clip.mp4").write_bytes(clip.read_bytes())
    for other in ("notes.srt", "other.vtt", "a.json", "a.html"):
        (tmp_path / other).write_text("WEBVTT\n\nmine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    form = {".mp4": "html", "": "json"}.get(Path(name).suffix, Path(name).suffix[1:])
    done = runner.invoke(app, ["watch", str(tmp_path / "my clip.mp4"), f"--{form}", str(tmp_path / name)], input="n\n")
    assert isinstance(done.exception, FileError), done.output
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


class Broken:
    """A stream of a few frames that then ends as `ending` says."""

    def __init__(self, ending: Any, frames: int = 3):
        self.ending, self.count = ending, frames

    def __call__(self, address: str, *, fps: float, size: int, **options: Any) -> Iterator[FrameBatch]:
        import torch

        self.options = options
        for n in range(self.count):
            yield FrameBatch(np.array([n / fps]), torch.full((1, 3, size, size), 60 * n, dtype=torch.uint8))
        self.ending()


def fail() -> None:
    raise DuetError("cam cannot be read: it sent nothing.")


def interrupt(number: int) -> None:
    os.kill(os.getpid(), number)
    signal.pause()


@pytest.mark.parametrize(
    ("ending", "status"),
    [(lambda: None, 0), (fail, 1), (lambda: interrupt(signal.SIGINT), 130), (lambda: interrupt(signal.SIGTERM), 143)],
)
def test_what_a_stream_showed_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: Any, status: int
) -> None:
    monkeypatch.setattr("mmduet.video.stream.StreamSource", Broken(ending))
    files = ["--json", str(tmp_path / "a.json"), "--html", str(tmp_path / "a.html")]
    address = "rtsp://me:geheim@cam/stream"
    done = runner.invoke(app, ["watch", address, *SMALL, "--query", "Late?@9", *files])
    assert done.exit_code == status, done.output
    assert len(DuetTrace.from_json((tmp_path / "a.json").read_text())) == 3
    assert "geheim" not in (tmp_path / "a.html").read_text()
    assert ("was not asked: the last frame watched was at 1 s" in done.output) is (status == 0)


@pytest.mark.parametrize(("ending", "status"), [(lambda: None, 0), (fail, 1)])
def test_where_no_frame_comes_earlier_files_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: Any, status: int
) -> None:
    """As of a camera that is off today."""
    files = [part for form in ("json", "html", "vtt") for part in (f"--{form}", str(tmp_path / f"a.{form}"))]
    monkeypatch.setattr("mmduet.video.stream.StreamSource", Broken(lambda: None))
    assert runner.invoke(app, ["watch", "rtsp://cam", *SMALL, *files]).exit_code == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("mmduet.video.stream.StreamSource", Broken(ending, frames=0))
    done = runner.invoke(app, ["watch", "rtsp://cam", *SMALL, *files, "--csv", str(tmp_path / "new.csv")])
    assert done.exit_code == status
    assert len(before) == 3
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert "0 frames, 0 responses\n" in done.output


def test_two_outputs_are_two_files(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.json")
    for csv in (tmp_path / "a.json", tmp_path / "link.csv"):
        files = ["--json", str(tmp_path / "a.json"), "--csv", str(csv)]
        done = runner.invoke(app, ["watch", str(clip), *SMALL, *files])
        assert isinstance(done.exception, DuetError), done.output
        assert "is given to --csv and --json: give each its own file" in str(done.exception)
    assert not (tmp_path / "a.json").exists()


def test_no_frame_a_second_is_refused(clip: Path) -> None:
    done = runner.invoke(app, ["watch", str(clip), *SMALL, "--frame-fps", "0"])
    assert str(done.exception) == "--frame-fps 0: give a positive number of frames a second."


@pytest.mark.parametrize("is_live", [False, True])
def test_a_file_is_watched_to_its_end_as_a_stream_is(tmp_path: Path, is_live: bool) -> None:
    """Of 3.25 s at 2 frames a second, frame 6 is at 3 s."""
    clip = write_clip(tmp_path / "clip.mp4", frames=39)
    frames = watch.Source(str(clip), is_live=is_live, format=None).frames(DuetSession(*load_duet("tiny")))
    if isinstance(frames, StreamSource):
        frames.patience = 0.5
    assert np.concatenate([batch.times for batch in frames]).tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3]


@pytest.mark.parametrize(("frames", "last"), [(39, "3"), (1, "0")])
def test_a_query_that_comes_too_late_names_the_last_frame(tmp_path: Path, frames: int, last: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=frames)
    done = runner.invoke(app, ["watch", str(clip), *SMALL, "--query", "Late?@3.1"])
    assert done.exit_code == 0, done.output
    assert f"'Late?' at 3.1 s was not asked: the last frame watched was at {last} s." in done.output


def test_the_readable_part_of_a_damaged_clip_is_watched(tmp_path: Path) -> None:
    clip = copy_stream(write_coded(tmp_path / "whole.mp4"), tmp_path / "clip.ts")
    data = clip.read_bytes()
    at = len(data) * 7 // 10
    clip.write_bytes(data[:at] + bytes(300) + data[at + 300 :])
    files = ["--json", str(tmp_path / "a.json"), "--html", str(tmp_path / "a.html")]
    done = runner.invoke(app, ["watch", str(clip), *SMALL, *files])
    assert done.exit_code == 1
    assert "cannot be decoded at" in str(done.exception)
    trace = DuetTrace.from_json((tmp_path / "a.json").read_text())
    assert trace.times.tolist() == [0, 0.5, 1, 1.5, 2, 2.5][: len(trace)]
    assert (tmp_path / "a.html").read_text().count(PICTURE) == len(trace) > 2


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_the_part_before_a_cut_is_watched(tmp_path: Path, suffix: str) -> None:
    """As a download that broke off; every file that is asked for has it."""
    options = {"movflags": "+faststart"} if suffix == ".mp4" else {}
    clip = write_coded(tmp_path / f"clip{suffix}", "H.264" if suffix == ".mp4" else "VP8", options=options)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 7 // 10])
    page, table = tmp_path / "a.html", tmp_path / "a.json"
    done = runner.invoke(app, ["watch", str(clip), *SMALL, "--html", str(page), "--json", str(table)])
    assert done.exit_code == 1
    assert f"{clip} " in str(done.exception)
    assert "cut off" in str(done.exception)
    assert 2 < len(DuetTrace.from_json(table.read_text())) < 8
    assert f"data:video/{suffix[1:]}" in page.read_text(), "the clip is in the page"


def test_a_pipe_is_read_to_its_end(clip: Path, tmp_path: Path) -> None:
    """No frame is dropped, however fast they come."""
    recording = copy_stream(clip, tmp_path / "clip.ts")
    for name, live, status in (("-", ["--live"], 0), ("/dev/stdin", [], 1)):
        command = [sys.executable, "-m", "mmduet", "watch", name, *live, *SMALL]
        done = subprocess.run(command, input=recording.read_bytes(), capture_output=True, timeout=300)
        assert done.returncode == status, done.stderr
        assert (b"6 frames" in done.stdout) is bool(live)
        assert (b"`mmduet watch --live`" in done.stderr) is not bool(live)


def test_a_stream_has_a_bounded_context_and_a_camera_drops_late_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Broken(lambda: None)
    monkeypatch.setattr("mmduet.video.stream.StreamSource", source)
    seen: list[Any] = []
    monkeypatch.setattr(watch, "make_session", lambda *given, **more: seen.append(given) or make(*given, **more))
    assert runner.invoke(app, ["watch", "/dev/null", *SMALL, "--format", "v4l2"]).exit_code == 0
    assert source.options == {"drop_late": True, "format": "v4l2"}
    assert [given[2] for given in seen] == [watch.LIVE_CONTEXT]


make = watch.make_session


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("What?", Query(0.0, "What?")), ("What?@12.5", Query(12.5, "What?")), ("a@b.c @ 3", Query(3.0, "a@b.c")),
        ("me@home", Query(0.0, "me@home")), ("@home", Query(0.0, "@home")), ("a@10.0.0.1", Query(0.0, "a@10.0.0.1")),
        ("What?@5s", Query(5.0, "What?")), ("What?@0:05", Query(5.0, "What?")), ("So @ 1:02.5", Query(62.5, "So")),
        ("What?@2:00:05.5 s", Query(7205.5, "What?")), ("@a @90:00", Query(5400.0, "@a")),
        (" What\nnow? @1\n", Query(1.0, " What\nnow?")),
    ],
)  # fmt: skip
def test_a_query_may_have_a_time(text: str, query: Query) -> None:
    assert watch.read_query(text) == query


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59999), st.sampled_from(["", "s", " s"]))
def test_a_time_is_read_as_it_is_written(hours: int, minutes: int, millis: int, unit: str) -> None:
    seconds = 3600 * hours + 60 * minutes + millis / 1000
    for time in (
        f"{hours}:{minutes:02}:{millis / 1000:06.3f}",
        f"{60 * hours + minutes}:{millis / 1000:06.3f}",
        f"{seconds:.3f}",
    ):
        query = watch.read_query(f"Now?@{time}{unit}")
        assert (query.text, query.time) == ("Now?", pytest.approx(seconds))


@pytest.mark.parametrize("time", ["-3", "+3", "1:75", "1:60:00", "1:2:3:4", "5,5", "5m", "12.", ".5", ":05", "-0:05"])
def test_what_looks_like_a_time_and_is_none_is_refused(time: str) -> None:
    with pytest.raises(DuetError, match=f"'{re.escape(time)}' is no time: give seconds"):
        watch.read_query(f"What now?@{time}")


@pytest.mark.parametrize("text", ["", "  ", "@5", " @ 1:05"])
def test_an_empty_query_is_refused(text: str) -> None:
    with pytest.raises(DuetError, match=f"--query '{text}' is empty"):
        watch.read_query(text)


def test_what_is_said_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    watch._say(Response(1.0, "a\x1b[2Jb\r\n\u202ec"))
    assert capsys.readouterr().out == "    1.0 s  model  a [2Jb c\n"


def test_a_file_that_grows_is_read_to_its_end(clip: Path) -> None:
    source = watch.Source(str(clip), is_live=True, format=None)
    model, processor = load_duet("tiny")
    frames = source.frames(DuetSession(model, processor, frame_fps=2.0))
    assert isinstance(frames, StreamSource)
    frames.patience = 0.5
    assert sum(len(batch.times) for batch in frames) == 6
