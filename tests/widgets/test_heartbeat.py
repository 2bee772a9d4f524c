"""Heartbeat: beats for as long as a watcher runs."""

import threading
from typing import Any

import pytest
from mmduet_widgets import heartbeat
from mmduet_widgets.heartbeat import Heartbeat

PATIENCE = 30  # s


class Run:
    """A watcher that runs until it is told to stop."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def is_alive(self) -> bool:
        return not self._ended.is_set()

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)

    def stop(self) -> None:
        self._ended.set()


def test_it_beats_while_a_run_is_on_and_once_when_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "EVERY", 0.01)
    run: Any = Run()
    beats: list[bool] = []
    third = threading.Event()

    def beat(watcher: Any) -> None:
        beats.append(watcher.is_alive())
        if len(beats) == 3:
            third.set()

    made = Heartbeat(run, beat)
    assert third.wait(PATIENCE)
    run.stop()
    made.join(PATIENCE)
    assert beats[:3] == [True] * 3
    assert beats[-1] is False
    assert "mmduet-heartbeat" not in [thread.name for thread in threading.enumerate()]
