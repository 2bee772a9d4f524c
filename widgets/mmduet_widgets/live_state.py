"""LiveState: what a live player shares with its page beyond the state of a finished one, and its clip."""

from pathlib import Path
from typing import Any

import torch
import traitlets as t

from mmduet_widgets.camera import CAMERA
from mmduet_widgets.duet_player import DuetPlayer
from mmduet_widgets.pictures import Pictures

NOT_STARTED = {"spans": [], "thresholds": [], "state": "idle", "message": "", "stale": False}
FRAMES_SHOWN = " The frames that the model sees are shown while it watches."
EXAMPLES = (
    "Tell me what is going on while you watch.",
    "What can be seen right now?",
    "Let me know when something new appears.",
)
NOT_STORED = "The pictures of a camera go to the model, and are not stored."


class LiveState(DuetPlayer):
    """The traits of a live player: its settings, which the page may set, and the state of its run.

    `picture` is a frame that the model sees (time, s; jpeg), sent while `frames_wanted`. `progress` has how far the run
    is `behind` the clip and how long the rest takes (`left`, None where it is not known), s. `heartbeat` rises once a
    second during a run, and `heard` is the number of the page's last command. `upload` is as `Uploads.state`,
    `camera` as `Camera.state`, of the last run with a camera.
    """

    _released = False  # whether the clip's memory was given back

    clips: "t.List[Any]" = t.List(t.Unicode(), read_only=True).tag(sync=True)
    examples: "t.List[Any]" = t.List(t.Unicode(), read_only=True).tag(sync=True)
    clip = t.Unicode().tag(sync=True)
    modes: "t.List[Any]" = t.List(read_only=True).tag(sync=True)
    mode = t.Unicode().tag(sync=True)
    heads: "t.List[Any]" = t.List(t.Unicode()).tag(sync=True)
    frame_fps = t.Float().tag(sync=True)
    remove_assistant_turns = t.Bool().tag(sync=True)
    repetition_penalty = t.Float().tag(sync=True)
    real_time = t.Bool(True).tag(sync=True)
    state = t.Unicode("idle", read_only=True).tag(sync=True)
    message = t.Unicode(read_only=True).tag(sync=True)
    waiting: "t.List[Any]" = t.List(t.Unicode(), read_only=True).tag(sync=True)
    thresholds: "t.List[Any]" = t.List(read_only=True).tag(sync=True)
    stale = t.Bool(read_only=True).tag(sync=True)
    picture = t.Dict(read_only=True).tag(sync=True)
    frames_wanted = t.Bool().tag(sync=True)
    progress = t.Dict(read_only=True).tag(sync=True)
    upload = t.Dict(read_only=True).tag(sync=True)
    camera = t.Dict({"run": 0, "received": -1, "scored": -1, "dropped": 0}, read_only=True).tag(sync=True)
    heartbeat = t.Int(read_only=True).tag(sync=True)
    heard = t.Int(read_only=True).tag(sync=True)

    def release_clip(self) -> None:
        """Give the clip's memory back, until the next start."""
        if self.video:
            self._released = True
            self.set_trait("video", b"")
            self.set_trait("note", "The clip is no longer in memory: press Watch to show it again.")

    def _load_clip(self) -> None:
        self._released = False
        for name, value in self._clip_state(self.clip).items():
            self.set_trait(name, value)

    def _clip_state(self, video: str | Path | bytes) -> dict[str, Any]:
        if video == CAMERA:
            return {"video": b"", "note": NOT_STORED, "duration": 0.0, "picture": {}, "frames_wanted": False}
        state = super()._clip_state(video)
        if state["note"]:
            state["note"] += FRAMES_SHOWN
        return {**state, "picture": {}, "frames_wanted": not state["video"]}

    def _picture(self, pictures: Pictures, time: float, frame: torch.Tensor) -> None:
        """Show a frame that the model sees, where the page cannot show the clip."""
        if self.frames_wanted and (jpeg := pictures.take(frame)):
            self.set_trait("picture", {"time": time, "jpeg": jpeg})
