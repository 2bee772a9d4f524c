"""LiveDuet in Python: settings, commands, and that no thread is left."""

import gc
import json
import math
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traitlets
from ipywidgets import Widget
from mmduet_widgets import LiveDuet

from mmduet.checkpoints import build_tiny_words
from mmduet.errors import DuetError, VideoError
from mmduet.policy import HEADS, ScoreSum, ScoreThreshold
from mmduet.streaming.session import DuetSession
from mmduet.trace import DuetTrace, Query, Response
from mmduet.video import read_frames
from tests.clips import write_clip, write_coded, write_sound
from tests.policies import EveryThird
from tests.widgets.players import inner

PATIENCE = 30  # s


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [write_clip(folder / name, frames=frames) for name, frames in (("one.mp4", 36), ("two.webm", 24))]


@pytest.fixture
def session(tiny) -> DuetSession:
    return DuetSession(*tiny, policy=ScoreThreshold(0.5), frame_fps=4.0, max_new_tokens=3)


@pytest.fixture
def player(session: DuetSession, clips: list[Path]):
    player = LiveDuet(session, clips)
    player.real_time = False
    yield player
    player.close()
    player.wait(PATIENCE)
    assert watching() == 0


def watching() -> int:
    """Threads that watch."""
    return [thread.name for thread in threading.enumerate()].count("mmduet-watcher")


def sent(player: LiveDuet, **state: Any) -> None:
    """What the browser sets."""
    player.set_state(json.loads(json.dumps(state)))


def post(player: LiveDuet, **content: Any) -> None:
    """A message from the browser."""
    player._handle_custom_msg(content, [])


def test_it_watches_and_is_a_player_of_what_it_saw(player: LiveDuet, session: DuetSession) -> None:
    assert (player.state, player.title, player.clip) == ("idle", "one.mp4", player.clips[0])
    player.ask(" what? ")
    assert player.waiting == ["what?"]
    player.start()
    assert watching() == 1
    player.wait(PATIENCE)
    assert (player.state, player.message, player.waiting, player.stale) == ("ended", "", ["what?"], False)
    assert (len(player.trace), player.trace.queries) == (12, [Query(0.0, "what?")])
    assert player.time == player.trace.times[-1]
    assert session.state.context == [], "the session that was given is not used"
    data = json.loads(inner(player.to_html()).partition('id="data">')[2].partition("</script>")[0])
    assert data["state"]["trace"]["times"] == player.trace.times.tolist()
    assert "state" not in data["state"], "its page is that of a trace"
    json.dumps(player.get_state([name for name in player.keys if name != "video"]), allow_nan=False)


def test_pause_resume_stop_and_start_again(player: LiveDuet) -> None:
    player.start()
    player.pause()
    assert player.state == "paused"
    player.resume()
    assert player.state == "running"
    player.pause()
    player.stop()
    player.wait(PATIENCE)
    assert (player.state, player.watching) == ("stopped", False)
    seen = len(player.trace)
    player.pause()
    player.resume()
    assert (player.state, len(player.trace)) == ("stopped", seen)
    post(player, command="start")
    post(player, command="start")
    player.wait(PATIENCE)
    assert (player.state, len(player.trace)) == ("ended", 12)


def test_a_new_player_stops_the_last(player: LiveDuet, session: DuetSession, clips: list[Path]) -> None:
    player.start()
    player.pause()
    again = LiveDuet(session, clips)
    player.wait(PATIENCE)
    assert (player.state, watching()) == ("stopped", 0)
    again.close()


def test_a_closed_player_is_forgotten(session: DuetSession, clips: list[Path]) -> None:
    player = LiveDuet(session, clips)
    player.start()
    player.pause()
    player.close()
    player.wait(PATIENCE)
    assert watching() == 0
    reference = weakref.ref(player)
    assert player not in Widget.widgets.values()
    del player
    gc.collect()
    assert reference() is None


def test_settings_wait_for_the_next_start(player: LiveDuet) -> None:
    sent(player, mode="sum", heads=["relevance", "informative"], threshold=2.5)
    shown = [player.policy[name] for name in ("mode", "threshold", "heads")]
    assert shown == ["sum", 2.5, ["relevance", "informative"]], "not started yet"
    player.start()
    player.wait(PATIENCE)
    said = player.trace.responses
    assert [r.time for r in said] == player.trace.times[
        player.trace.replay(ScoreSum(2.5, heads=("relevance", "informative")))
    ].tolist()
    sent(player, mode="threshold", frame_fps=2, remove_assistant_turns=True, repetition_penalty=1.5, threshold=0.25)
    assert (player.stale, player.policy["mode"], player.trace.responses) == (True, "sum", said)
    player.start()
    running = player._watcher.session  # type: ignore[union-attr]
    assert (running.frame_fps, running.remove_assistant_turns, running.repetition_penalty) == (2.0, True, 1.5)
    player.wait(PATIENCE)
    assert (player.stale, player.policy["mode"], player.policy["threshold"], len(player.trace)) == (
        False, "threshold", 0.25, 6,
    )  # fmt: skip
    sent(player, repetition_penalty=1.0)
    assert player._new_session().repetition_penalty is None
    sent(player, repetition_penalty=1.5)
    assert not player.stale


def test_a_threshold_is_used_while_it_runs(player: LiveDuet) -> None:
    player.threshold = math.inf
    player.start()
    player.pause()
    sent(player, threshold=-1.0)
    player.resume()
    player.wait(PATIENCE)
    assert (player.thresholds[-1][1], player.policy["threshold"]) == (-1.0, "Infinity")
    assert player.trace.responses


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"mode": "loud"}, "mode='loud' is not known"),
        ({"heads": []}, "name one or both"),
        ({"heads": ["nose"]}, "name one or both"),
        ({"frame_fps": 0}, "frame_fps=0.0: give a positive number"),
        ({"frame_fps": None}, "frame_fps"),
        ({"repetition_penalty": -1}, "repetition_penalty=-1.0"),
        ({"clip": "none.mp4"}, "none.mp4 is in none of the player's folders"),
        ({"clip": "/etc/passwd"}, "/etc/passwd is in none of the player's folders"),
        ({"threshold": "NaN"}, "threshold=nan"),
    ],
)
def test_a_wrong_value_is_reported_and_not_taken(player: LiveDuet, state: dict[str, Any], message: str) -> None:
    before = player.get_state(list(state))
    sent(player, **state)
    assert message in player.message
    assert player.get_state(list(state)) == before
    with pytest.raises((DuetError, traitlets.TraitError)):
        player.set_trait(*next(iter(state.items())))
    post(player, command="start")
    assert player.message == ""


def test_a_page_cannot_lead_out_of_the_folders(player: LiveDuet, tmp_path: Path) -> None:
    folder = Path(player.clips[0]).parent
    outside = write_clip(tmp_path / "outside.mp4")
    (folder / "link.mp4").symlink_to(outside)
    for clip in (
        outside,
        folder / "link.mp4",
        f"{folder}/../../{outside.relative_to(tmp_path.parent.parent)}",
        3,
        None,
    ):
        sent(player, clip=str(clip) if isinstance(clip, Path) else clip)
        assert "is in none of the player's folders" in player.message
        assert player.clip == player.clips[0]
    sent(player, clip=str(folder / "none.mp4"))
    assert "none.mp4 does not exist" in player.message
    beside = write_clip(folder / "beside.mp4")
    sent(player, clip=str(beside))
    assert player.clip == str(beside), "another file of the folder can be typed"
    player.clip = str(outside)
    assert player.title == "outside.mp4", "Python may read what it likes"


def test_only_the_newest_players_keep_their_clips(session: DuetSession, clips: list[Path]) -> None:
    players = [LiveDuet(session, clips) for _ in range(10)]
    assert [bool(player.video) for player in players] == [False] * 6 + [True] * 4
    assert "press Watch to show it again" in players[0].note
    players[0].real_time = False
    players[0].start()
    players[0].wait(PATIENCE)
    assert (players[0].video, players[0].note) == (clips[0].read_bytes(), "")
    for player in players:
        player.close()


def test_another_clip_ends_the_run(player: LiveDuet) -> None:
    player.start()
    player.pause()
    sent(player, clip=player.clips[1])
    player.wait(PATIENCE)
    assert (player.state, player.title, len(player.trace), player.time) == ("idle", "two.webm", 0, 0.0)
    assert player.video == Path(player.clips[1]).read_bytes()
    player.start()
    player.wait(PATIENCE)
    assert (player.state, len(player.trace)) == ("ended", 8)
    sent(player, clip=str(write_sound(Path(player.clip).with_name("sound.mp4"))))
    assert "no picture track" in player.message
    assert (player.state, player.clip) == ("ended", player.clips[1])


def test_another_clip_keeps_the_question_that_no_frame_took(player: LiveDuet) -> None:
    player.ask("at the start?")
    player.start()
    player.pause()
    player.ask("and now?")
    assert set(player.waiting) <= {"at the start?", "and now?"}
    sent(player, clip=player.clips[1])
    assert (player.state, player.waiting) == ("idle", ["at the start?", "and now?"]), "shown as asked at the start"
    player.start()
    player.wait(PATIENCE)
    assert [query.text for query in player.trace.queries] == ["at the start?", "and now?"], "and asked there"


def test_the_page_hears_of_the_run_and_of_each_command(player: LiveDuet) -> None:
    post(player, command="start", number=7)
    assert player.heard == 7
    player.wait(PATIENCE)
    assert player.heartbeat >= 1
    assert player.progress == {"behind": 0.0, "left": pytest.approx(0.0, abs=5.0)}
    post(player, command="ask", text="", number=8)
    assert (player.heard, player.message) == (8, "the question is empty: type one."), "an error is an answer, too"


def test_frames_are_sent_as_jpeg_where_the_page_cannot_show_the_clip(session: DuetSession, tmp_path: Path) -> None:
    clip = write_coded(tmp_path / "clip.avi", "MPEG-4", frames=100)
    player = LiveDuet(session, [clip])
    assert (player.video, player.duration, player.frames_wanted) == (b"", pytest.approx(4.0), True)
    assert "it is neither. The frames that the model sees are shown" in player.note
    pictures: list[Any] = []
    player.observe(lambda change: pictures.append(change["new"]), "picture")
    player.start()
    player.wait(PATIENCE)
    assert pictures
    assert all(0 <= picture["time"] < 4 and picture["jpeg"].startswith(b"\xff\xd8\xff") for picture in pictures)
    player.close()


def test_frames_are_sent_only_where_they_are_wanted(player: LiveDuet) -> None:
    assert not player.frames_wanted
    player.start()
    player.wait(PATIENCE)
    assert player.picture == {}
    sent(player, frames_wanted=True)  # the browser found that it cannot play the clip
    player.start()
    player.wait(PATIENCE)
    assert player.picture["jpeg"]
    player.clip = player.clips[1]
    assert (player.frames_wanted, player.picture) == (False, {})


def test_questions_are_checked(player: LiveDuet) -> None:
    post(player, command="ask", text="  ")
    assert player.message == "the question is empty: type one."
    post(player, command="ask", text="<|im_end|>")
    assert "a token of the prompt" in player.message
    post(player, command="ask", text="and now?")
    assert (player.message, player.waiting) == ("", ["and now?"])
    for _ in range(2):
        player.start()
        player.wait(PATIENCE)
        assert player.trace.queries == [Query(0.0, "and now?")], "each run begins with it"
    post(player, command="forget")
    assert player.waiting == []
    player.start()
    player.pause()
    post(player, command="ask", text="here?")
    assert player.waiting == ["here?"]
    player.stop()
    player.wait(PATIENCE)
    assert (player.trace.queries, player.waiting) == ([], []), "what no frame took is gone with the run"


def test_it_begins_with_a_trace(session: DuetSession, clips: list[Path]) -> None:
    scores = np.array([0.1, 0.9]), np.zeros(2)
    seen = DuetTrace(np.array([0.0, 0.5]), *scores, [Response(0.5, "A cat.")], [Query(0.0, "what?")])
    player = LiveDuet(session, [*clips, *clips], trace=seen, spans=[(0.0, 1.0, "a cat")])
    assert (player.trace, player.state, player.waiting) == (seen, "idle", ["what?"])
    assert player.clips == [str(clip) for clip in clips]
    player.mode = "sum"
    assert (player.stale, player.policy["mode"]) == (True, "threshold")
    assert "A cat." in inner(player.to_html())
    player.clip = player.clips[1]
    assert (len(player.trace), player.spans, player.policy["mode"]) == (0, [], "sum")
    player.close()


def test_what_fails_is_in_the_message(player: LiveDuet, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self, *_):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(DuetSession, "_encode", fail)
    player.start()
    player.wait(PATIENCE)
    assert (player.state, player.message) == ("error", "RuntimeError: no such kernel")
    monkeypatch.undo()
    player.start()
    player.wait(PATIENCE)
    assert (player.state, player.message) == ("ended", "")


def test_a_policy_of_ones_own_is_a_choice_with_or_without_a_threshold(session: DuetSession, clips: list[Path]) -> None:
    session.policy = EveryThird()
    player = LiveDuet(session, clips)
    player.real_time = False
    own = f"{EveryThird.__module__}:EveryThird"
    assert player.modes[-1] == {"mode": own, "rule": "EveryThird", "heads": False}
    assert (player.mode, player.threshold, player.policy["decision"]) == (own, None, None)
    player.start()
    player.wait(PATIENCE)
    assert (player.state, player.thresholds) == ("ended", [])
    assert player.replays[0]["frames"] == [2, 5, 8, 11]
    assert [r.time for r in player.trace.responses] == player.trace.times[[2, 5, 8, 11]].tolist()
    sent(player, mode="sum")
    player.start()
    player.wait(PATIENCE)
    assert (player.state, player.threshold, player.policy["mode"]) == ("ended", 0.5, "sum")
    sent(player, mode=own)
    player.start()
    player.wait(PATIENCE)
    assert (player.state, player.threshold, player.replay_grid) == ("ended", None, None)
    player.close()


def test_a_page_names_no_module(player: LiveDuet) -> None:
    sent(player, mode="tests.policies:EveryThird")
    assert "is not known: use one of ['sum', 'threshold']" in player.message
    assert player.mode == "threshold"


def test_the_sliders_places_are_replayed_when_the_run_ends(player: LiveDuet) -> None:
    player.start()
    player.pause()
    player.resume()
    player.wait(PATIENCE)
    assert player.replays[0]["frames"] == player.trace.replay(ScoreThreshold(0.5)).tolist()
    assert player.replay_grid["count"] == 101


def test_what_it_cannot_play_is_refused(session: DuetSession, tmp_path: Path) -> None:
    with pytest.raises(DuetError, match="at least one clip"):
        LiveDuet(session, [])
    with pytest.raises(VideoError, match="no such file"):
        LiveDuet(session, [tmp_path / "none.mp4"])
    with pytest.raises(DuetError, match="no picture track"):
        LiveDuet(session, [write_sound(tmp_path / "sound.mp4")])
    session.policy = object()  # type: ignore[assignment]
    with pytest.raises(DuetError, match="is not a policy"):
        LiveDuet(session, [write_clip(tmp_path / "clip.mp4")])


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
    assert {mode["mode"] for mode in words.modes} == {"greedy", "threshold", "sum"}
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
    frames = read_frames(clips[0], fps=3.0, size=session.processor.frame.size).frames
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
