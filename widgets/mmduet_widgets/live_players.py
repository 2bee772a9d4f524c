"""LivePlayers: the live players of a kernel, of which one watches and a few keep their clips."""

from typing import Protocol
from weakref import WeakValueDictionary

CLIPS_KEPT = 4  # players whose clips stay in memory


class Player(Protocol):
    """A live player."""

    def stop(self) -> None:
        """End its run."""

    def release_clip(self) -> None:
        """Give the memory of its clip back."""


class LivePlayers:
    """Those that are in use, in the order in which they were made."""

    def __init__(self) -> None:
        self._players: WeakValueDictionary[int, Player] = WeakValueDictionary()
        self._made = 0

    def stop(self) -> None:
        """Stop all of them, before one watches."""
        for player in list(self._players.values()):
            player.stop()

    def make_room(self) -> None:
        """Stop all of them before one more is made, and release the oldest clips."""
        self.stop()
        earlier = [player for _, player in sorted(self._players.items())]
        for player in earlier[: 1 - CLIPS_KEPT]:
            player.release_clip()

    def add(self, player: Player) -> None:
        """Add the newest one."""
        self._made += 1
        self._players[self._made] = player
