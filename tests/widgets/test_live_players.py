"""LivePlayers: one watches, and the newest keep their clips."""

import gc

from mmduet_widgets.live_players import CLIPS_KEPT, LivePlayers


class Player:
    def __init__(self) -> None:
        self.stopped = self.released = 0

    def stop(self) -> None:
        self.stopped += 1

    def release_clip(self) -> None:
        self.released += 1


def test_all_stop_and_the_oldest_release_their_clips() -> None:
    players, made = LivePlayers(), [Player() for _ in range(CLIPS_KEPT + 2)]
    for player in made:
        players.make_room()
        players.add(player)
    assert [player.stopped for player in made] == list(range(len(made) - 1, -1, -1))
    assert [bool(player.released) for player in made] == [True, True] + [False] * CLIPS_KEPT


def test_before_one_watches_all_stop_and_keep_their_clips() -> None:
    players, made = LivePlayers(), [Player() for _ in range(CLIPS_KEPT + 2)]
    for player in made:
        players.add(player)
    players.stop()
    assert [(player.stopped, player.released) for player in made] == [(1, 0)] * len(made)


def test_none_is_kept_alive() -> None:
    players = LivePlayers()
    players.add(Player())
    gc.collect()
    assert not players._players
