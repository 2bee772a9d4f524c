"""LiveDuet in Python: runs, settings, and that no thread is left."""

import gc
import json
import math
import weakref
from pathlib import Path

import numpy as np
import pytest
from ipywidgets import Widget
from mmduet_widgets import LiveDuet

from mmduet.errors import DuetError, VideoError
from mmduet.policy import ScoreSum, ScoreThreshold
from mmduet.streaming.session import DuetSession
from mmduet.trace import DuetTrace, Query, Response
from tests.clips import write_clip, write_sound
from tests.policies import EveryThird
from tests.widgets.live import PATIENCE, post, sent, watching
from tests.widgets.players import inner


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


def test_a_start_stops_every_other_player(session: DuetSession, clips: list[Path]) -> None:
    players = [LiveDuet(session, clips) for _ in range(3)]
    for player in [*players, players[0]]:
        player.start()
        player.pause()  # else it might end by itself
        others = [other for other in players if other is not player]
        for other in others:
            other.wait(PATIENCE)
        assert player.watching
        assert not any(other.watching for other in others)
    for player in players:
        player.close()
        player.wait(PATIENCE)
    assert {player.state for player in players} == {"stopped"}
    assert watching() == 0


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


def test_an_alert_needs_both_heads_and_its_own_threshold(player: LiveDuet) -> None:
    sent(player, mode="alert")
    assert (player.mode, player.threshold, player.heads) == ("alert", 1.4, ["informative", "relevance"])
    assert (player.policy["threshold"], set(player.policy["heads"])) == (1.4, {"informative", "relevance"})
    player.start()
    player.wait(PATIENCE)
    assert (player.state, player.stale) == ("ended", False)


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
    assert player.modes[-2] == {"mode": own, "rule": "EveryThird", "heads": False}
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
