"""LiveDuet of a model that decides in words."""

from pathlib import Path

import numpy as np
import pytest
from mmduet_widgets import LiveDuet

from mmduet.checkpoints import build_tiny_words
from mmduet.policy import HEADS
from mmduet.streaming.session import DuetSession
from mmduet.trace import Query
from mmduet.video import read_frames
from tests.widgets.live import PATIENCE, sent


@pytest.fixture
def words(clips: list[Path]):
    """A player of a model that decides in words, at a third of a second: an odd number of frames."""
    session = DuetSession(*build_tiny_words(), frame_fps=3.0, max_new_tokens=2)
    player = LiveDuet(session, clips)
    player.real_time = False
    yield player
    player.close()
    player.wait(PATIENCE)


def test_a_model_that_decides_in_words_offers_greedy_and_no_heads(words: LiveDuet, player: LiveDuet) -> None:
    assert (words.mode, words.threshold, words.heads) == ("greedy", None, ["reply"])
    assert {mode["mode"] for mode in words.modes} == {"greedy", "threshold", "sum", "hysteresis"}
    assert not any(mode["heads"] for mode in words.modes)
    assert [curve["name"] for curve in words.curves] == ["reply"], "before it has seen anything"
    assert "greedy" not in [mode["mode"] for mode in player.modes]
    assert [curve["name"] for curve in player.curves] == list(HEADS)
    sent(player, mode="greedy")
    assert "mode='greedy' is not known" in player.message
    sent(player, heads=["reply"])
    assert "a model with heads" in player.message


def test_a_model_that_decides_in_words_is_watched_to_the_last_frame(words: LiveDuet, clips: list[Path]) -> None:
    words.ask("what?")
    words.start()
    words.wait(PATIENCE)
    assert (words.state, words.message) == ("ended", "")
    session = words._session
    frames = read_frames(clips[0], fps=3.0, size=session.processor.frame.fit).frames
    assert len(frames) % 2, "the last piece is not full"
    seen = session.run(frames, [Query(0.0, "what?")])
    assert words.trace.times.tolist() == seen.times.tolist()
    np.testing.assert_allclose(words.trace.reply, seen.reply, atol=1e-5)
    assert words.trace.responses == seen.responses
    assert words.replays[0]["frames"] == np.flatnonzero(seen.greedy).tolist()


def test_greedy_and_a_threshold_take_turns(words: LiveDuet) -> None:
    sent(words, mode="threshold")
    assert (words.threshold, words.policy["mode"]) == (0.5, "threshold")
    sent(words, threshold=0.25)
    words.start()
    words.wait(PATIENCE)
    assert [r.time for r in words.trace.responses] == words.trace.times[words.trace.reply > 0.25].tolist()
    sent(words, mode="greedy")
    assert words.stale
    words.start()
    words.wait(PATIENCE)
    assert (words.state, words.threshold, words.policy["mode"]) == ("ended", None, "greedy")
