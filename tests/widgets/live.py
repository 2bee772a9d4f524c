"""What tests of live players do: count threads, play the browser."""

import json
import threading
from typing import Any

from mmduet_widgets import LiveDuet

PATIENCE = 30  # s


def watching() -> int:
    """Threads that watch."""
    return [thread.name for thread in threading.enumerate()].count("mmduet-watcher")


def sent(player: LiveDuet, **state: Any) -> None:
    """What the browser sets."""
    player.set_state(json.loads(json.dumps(state)))


def post(player: LiveDuet, **content: Any) -> None:
    """A message from the browser."""
    player._handle_custom_msg(content, [])
