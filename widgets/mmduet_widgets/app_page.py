"""AppPage: the page of `make app`. It shows a player at once, and loads the model meanwhile."""

import logging
from collections.abc import Iterable
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import ipywidgets as w

from mmduet.errors import DuetError
from mmduet.policy import ScoreThreshold
from mmduet.system import threads
from mmduet_widgets.clip_file import clip_paths
from mmduet_widgets.duet_player import DuetPlayer
from mmduet_widgets.player_state import empty_trace

# torch takes seconds to import: only the thread that loads a model does it

MODELS = ("mini", "mmduet-7b", "mmduet2-3b")
DEVICES = ("auto", "cpu", "cuda", "mps")
NARRATE = "Please concisely narrate the video in real time."
FRAME_FPS = 2.0  # 1/s


class AppPage(w.VBox):
    """A player with its clips, and a choice of model and device.

    The clips are seen at once, in a DuetPlayer without scores. A thread loads the model, and a LiveDuet takes the
    player's place. Another model or device is loaded when it is chosen; the earlier one is freed before. `live` is the
    LiveDuet, None while a model is loaded.

    Args:
        clips: A path, or paths to choose from, the first of which is shown.
        model: The model that is loaded first: a preset, a folder or a hub id.
        device: Where it runs.
        threshold: Of a model with heads.
        queries: Asked at the start of each run.
        settings: More arguments of `DuetSession`.

    Raises:
        DuetError: There is no clip, or the first one cannot be read.
    """

    def __init__(
        self,
        clips: str | Path | Iterable[str | Path],
        *,
        model: str = MODELS[0],
        device: str = DEVICES[0],
        threshold: float = 0.5,
        queries: Iterable[str] = (NARRATE,),
        **settings: Any,
    ):
        self._clips = clip_paths(clips)
        self._queries, self._policy, self._settings = list(queries), ScoreThreshold(threshold), settings
        self._loading, self._wanted = Lock(), 0
        self.live: Any = None
        self._model = _choice("Model", dict.fromkeys((*MODELS, model)), model)
        self._device = _choice("Device", dict.fromkeys((*DEVICES, device)), device)
        self._status = w.Label("")
        row = w.Layout(flex_flow="row wrap")
        self._choices = w.HBox([self._model, self._device, self._status], layout=row)
        self._preview = DuetPlayer(
            self._clips[0],
            empty_trace(("informative", "relevance")),
            policy=self._policy,
            title=self._clips[0].name,
        )
        super().__init__([self._choices, self._preview])
        for choice in (self._model, self._device):
            choice.observe(lambda _: self.load(), "value")

    def load(self, *, when_shown: bool = False) -> None:
        """Load the chosen model on the chosen device, in a thread; an earlier load no longer counts.

        Args:
            when_shown: Do so once a page shows the player, which then need not share the machine with the load.
        """
        if when_shown:
            self._preview.on_msg(self._load_first)
            return
        self._wanted += 1
        chosen = (self._wanted, self._model.value, self._device.value)
        self._status.value = f"Loading {chosen[1]} …"
        threads.start(Thread(target=self._load, args=chosen, name="mmduet-loader", daemon=True), lambda: None)

    def _load_first(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """Load when the page says that it shows the player, unless something was chosen before."""
        if "shown" in content and not self._wanted:
            self.load()

    def _load(self, number: int, model: str, device: str) -> None:
        with self._loading:  # one model at a time is in memory
            if number != self._wanted:
                return
            self._free()
            try:
                live = self._live_player(model, device)
            except Exception as error:
                self._status.value = _message(error)
                return
            if number != self._wanted:
                live.close()
                return
            self.live = live
            self.children = [self._choices, live]
            self._status.value = f"{model} is loaded: press Watch."

    def _free(self) -> None:
        from mmduet.system.memory import free_garbage

        if self.live is not None:
            self.children = [self._choices, self._preview]
            self.live.close()
            self.live = None
            free_garbage()

    def _live_player(self, model: str, device: str) -> Any:
        from mmduet import DuetSession, load_duet
        from mmduet_widgets.live_duet import LiveDuet

        duet, processor = load_duet(model, device=device)
        policy = self._policy if duet.decides == "heads" else None  # None: as published
        session = DuetSession(duet, processor, policy=policy, frame_fps=FRAME_FPS, **self._settings)
        player = LiveDuet(session, self._clips)
        for query in self._queries:
            player.ask(query)
        return player


def _choice(name: str, options: Iterable[str], value: str) -> w.Dropdown:
    return w.Dropdown(description=name, options=list(options), value=value, layout=w.Layout(width="14em"))


def _message(error: Exception) -> str:
    if isinstance(error, DuetError):
        return str(error)
    logging.getLogger(__name__).error("loading failed", exc_info=error)
    return f"{type(error).__name__}: {error}"
