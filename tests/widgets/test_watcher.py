"""Watcher: a session in a thread, and its commands."""

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmduet_widgets import watcher as watcher_module
from mmduet_widgets.watcher import Watcher

from mmduet.errors import DuetError
from mmduet.policy import FrameScores, ScoreThreshold
from mmduet.streaming.session import DuetSession
from mmduet.trace import Query
from mmduet.video import iter_frames, read_frames
from tests.clips import write_clip

NEVER = math.inf
FPS = 4.0
PATIENCE = 30  # s; for what must come


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of grey."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=36)


@pytest.fixture
def watch(tiny, clip: Path):
    """Makes watchers that are stopped and waited for at the end."""
    made: list[Watcher] = []

    def new(threshold: float = NEVER, max_new_tokens: int = 3, **options) -> Watcher:
        session = DuetSession(
            *tiny, policy=ScoreThreshold(threshold), frame_fps=options.pop("fps", FPS), max_new_tokens=max_new_tokens
        )
        made.append(Watcher(session, options.pop("clip", clip), **{"real_time": False, **options}))
        return made[-1]

    yield new
    for watcher in made:
        if watcher._thread.ident:
            watcher.stop()
            watcher.join(PATIENCE)
    assert "mmduet-watcher" not in [thread.name for thread in threading.enumerate()]


def at_frame(number: int, action: Callable[[Watcher], None]) -> tuple[Callable[[Watcher], None], threading.Event]:
    """What to call when changed: does something once, when that many frames are scored. And when it is done."""
    done = threading.Event()

    def changed(watcher: Watcher) -> None:
        if len(watcher.trace) == number and not done.is_set():
            action(watcher)
            done.set()

    return changed, done


def run(watcher: Watcher) -> Watcher:
    watcher.start()
    watcher.join(PATIENCE)
    return watcher


def test_it_sees_and_says_what_a_session_would(watch, tiny, clip: Path) -> None:
    watcher = watch(0.5)
    watcher.ask("what?")
    run(watcher)
    frames = read_frames(clip, fps=FPS, size=tiny[1].frame.fit).frames
    wanted = DuetSession(*tiny, policy=ScoreThreshold(0.5), frame_fps=FPS, max_new_tokens=3).run(
        frames, [Query(0.0, "what?")]
    )
    assert watcher.state == "ended"
    assert wanted.responses
    np.testing.assert_allclose(watcher.trace.informative, wanted.informative, atol=1e-5)
    assert (watcher.trace.responses, watcher.trace.queries) == (wanted.responses, wanted.queries)
    assert watcher.trace.context_length == wanted.context_length


def test_nothing_is_read_ahead(watch, monkeypatch: pytest.MonkeyPatch) -> None:
    read, ahead = [], []

    def counted(*args, **options):
        for batch in iter_frames(*args, **options):
            read.append(len(batch.frames))
            yield batch

    monkeypatch.setattr(watcher_module, "iter_frames", counted)
    run(watch(changed=lambda watcher: ahead.append(sum(read) - len(watcher.trace))))
    assert sum(read) == 12
    assert set(ahead) == {0}


def test_a_pause_holds_after_the_frame_and_a_question_then_comes_next(watch) -> None:
    changed, paused = at_frame(3, Watcher.pause)
    watcher = watch(changed=changed)
    watcher.start()
    assert paused.wait(PATIENCE)
    watcher.ask("and now?")
    watcher.join(0.1)
    assert (watcher.state, len(watcher.trace), watcher.waiting) == ("paused", 3, ["and now?"])
    watcher.resume()
    watcher.join(PATIENCE)
    assert (watcher.state, len(watcher.trace), watcher.waiting) == ("ended", 12, [])
    assert watcher.trace.queries == [Query(3 / FPS, "and now?")]


def test_a_frame_takes_one_question(watch) -> None:
    watcher = watch()
    watcher.ask("one?")
    watcher.ask("two?")
    run(watcher)
    assert watcher.trace.queries == [Query(0.0, "one?"), Query(0.0, "two?")]
    assert [type(event).__name__ for event in watcher._events[:4]] == ["Query", "FrameScores"] * 2


def test_a_question_is_checked_where_it_enters(watch) -> None:
    with pytest.raises(DuetError, match="a token of the prompt"):
        watch().ask("<image>")


def test_it_stops_within_a_response_and_forgets(watch) -> None:
    speaking = threading.Event()
    watcher = watch(-1.0, max_new_tokens=10**9, changed=lambda watcher: speaking.set())
    watcher.session.processor = Endless(watcher.session.processor)
    watcher.start()
    assert speaking.wait(PATIENCE)
    watcher.stop()
    watcher.join(PATIENCE)
    assert (watcher.state, len(watcher.trace), watcher.trace.responses) == ("stopped", 1, [])
    assert (watcher.session.state.context, watcher.session.state.cache.get_seq_length()) == ([], 0)


class Endless:
    """A processor that takes no token for the last."""

    def __init__(self, processor):
        self.processor = processor

    def __getattr__(self, name: str):
        return -1 if name == "end_id" else getattr(self.processor, name)


def test_a_paused_one_stops(watch) -> None:
    watcher = watch()
    watcher.pause()
    watcher.start()
    watcher.stop()
    watcher.join(PATIENCE)
    assert watcher.state == "stopped"


def test_an_error_of_the_model_is_reported(watch, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self, *_):
        raise RuntimeError("no such kernel")

    watcher = watch()
    monkeypatch.setattr(DuetSession, "_encode", fail)
    run(watcher)
    assert (watcher.state, watcher.error) == ("error", "RuntimeError: no such kernel")
    assert watcher.session.state.context == []


def test_a_clip_that_cannot_be_read_is_reported(watch, tmp_path: Path) -> None:
    watcher = run(watch(clip=tmp_path / "none.mp4"))
    assert watcher.state == "error"
    assert watcher.error == f"{tmp_path / 'none.mp4'} does not exist: check the path to the clip."


def test_a_new_threshold_holds_from_the_next_frame(watch) -> None:
    changed, _ = at_frame(5, lambda watcher: setattr(watcher, "threshold", -1.0))
    watcher = run(watch(changed=changed))
    assert watcher.thresholds == {0.0: NEVER, 5 / FPS: -1.0}
    assert [response.time for response in watcher.trace.responses] == [number / FPS for number in range(5, 12)]


def test_in_real_time_no_frame_comes_early(watch) -> None:
    seen: list[float] = []

    def changed(watcher: Watcher) -> None:
        if isinstance(watcher._events[-1], FrameScores) and watcher.state == "running":
            seen.append(time.monotonic())

    run(watch(real_time=True, fps=12.0, changed=changed))
    assert len(seen) == 36
    assert seen[-1] - seen[0] >= 34 / 12


def test_it_says_how_far_it_is_behind_the_clip(watch, monkeypatch: pytest.MonkeyPatch) -> None:
    behind: list[float] = []
    encode = DuetSession._encode

    def slow(self, frames):
        until = time.monotonic() + 0.1
        while time.monotonic() < until:
            pass
        return encode(self, frames)

    monkeypatch.setattr(DuetSession, "_encode", slow)
    watcher = run(watch(real_time=True, fps=12.0, changed=lambda watcher: behind.append(watcher.behind)))
    assert behind[-2] >= 34 * (0.1 - 1 / 12), "each frame takes longer than the clip gives it"
    assert sorted(behind[:-1]) == behind[:-1], "it does not catch up"
    assert 0 < watcher.left(3.0) < watcher.left(6.0)
    hasty = run(watch(real_time=False, fps=12.0))
    assert hasty.behind == 0.0


def test_one_begins_when_the_last_is_done(watch) -> None:
    order: list[Watcher] = []
    first = watch(changed=order.append)
    first.pause()
    first.start()
    first.stop()
    second = run(watch(after=first, changed=order.append))
    assert second.state == "ended"
    assert order.index(second) > max(index for index, watcher in enumerate(order) if watcher is first)


def test_python_can_end_while_it_watches(clip: Path) -> None:
    script = f"""
import threading
from mmduet import DuetSession, ScoreThreshold
from mmduet.checkpoints import build_tiny
from mmduet_widgets.watcher import Watcher

begun = threading.Event()
session = DuetSession(*build_tiny(), policy=ScoreThreshold(-1.0), max_new_tokens=10**9)
Watcher(session, {str(clip)!r}, real_time=False, changed=lambda watcher: begun.set()).start()
assert begun.wait({PATIENCE})
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")
