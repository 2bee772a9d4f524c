"""`mmduet watch`: what it prints and writes, of a clip and of a stream that breaks off."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webvtt
from typer.testing import CliRunner

from mmduet import DuetSession, DuetTrace, Query, Response, ScoreThreshold, StreamSource, load_duet, read_frames
from mmduet.cli import app, watch
from mmduet.errors import DuetError, FileError
from mmduet.video import FrameBatch
from tests.clips import write_clip

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
    """A stream of three frames that then ends as `ending` says."""

    def __init__(self, ending: Any):
        self.ending = ending

    def __call__(self, address: str, *, fps: float, size: int, **options: Any) -> Iterator[FrameBatch]:
        import torch

        self.options = options
        for n in range(3):
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
    assert ("was not asked: the video ended at 1.5 s" in done.output) is (status == 0)


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
        ("me@home", Query(0.0, "me@home")), (" What\nnow? @1\n", Query(1.0, " What\nnow?")),
    ],
)  # fmt: skip
def test_a_query_may_have_a_time(text: str, query: Query) -> None:
    assert watch.read_query(text) == query


def test_an_empty_query_is_refused() -> None:
    with pytest.raises(DuetError, match="--query '  ' is empty"):
        watch.read_query("  ")


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
