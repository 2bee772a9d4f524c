"""LiveDuet and its page: what the page sends, asks for and may not do."""

from pathlib import Path
from typing import Any

import pytest
import traitlets
from mmduet_widgets import LiveDuet

from mmduet.errors import DuetError
from mmduet.streaming.session import DuetSession
from mmduet.trace import Query
from tests.clips import write_clip, write_coded
from tests.widgets.live import PATIENCE, post, sent


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


def test_a_page_names_no_module(player: LiveDuet) -> None:
    sent(player, mode="tests.policies:EveryThird")
    assert "is not known: use one of ['alert', 'hysteresis', 'sum', 'threshold']" in player.message
    assert player.mode == "threshold"


def test_a_clip_that_the_page_sends_is_chosen(player: LiveDuet, tmp_path: Path) -> None:
    content = write_clip(tmp_path / "mine.mp4", frames=24).read_bytes()
    half = len(content) // 2
    for offset, part in ((0, content[:half]), (half, content[half:])):
        piece = {"name": "mine.mp4", "size": len(content), "offset": offset}
        player._handle_custom_msg({"command": "upload", "number": 1, "piece": piece}, [memoryview(part)])
        assert player.upload["received"] == offset + len(part)
    assert (player.title, player.clips[-1], player.message) == ("mine.mp4", player.clip, "")
    assert player.video == content
    player.start()
    player.wait(PATIENCE)
    assert (player.state, len(player.trace)) == ("ended", 8)
    sent(player, clip=player.clips[0])
    sent(player, clip=player.clips[-1])
    assert (player.title, player.message) == ("mine.mp4", ""), "it can be chosen again"


def test_what_the_page_sends_and_is_no_clip_leaves_nothing(player: LiveDuet) -> None:
    before, state = (player.clip, player.clips), player.upload
    piece = {"name": "text.mp4", "size": 4, "offset": 0}
    player._handle_custom_msg({"command": "upload", "number": 1, "piece": piece}, [b"text"])
    assert player.message.startswith("text.mp4 (4 bytes) is not a video that can be opened")
    assert player.upload != state, "a page hears of what changes"
    assert (player.clip, player.clips, player.upload["name"]) == (*before, "")
    assert player._uploads._folder
    assert not list(player._uploads._folder.iterdir())
