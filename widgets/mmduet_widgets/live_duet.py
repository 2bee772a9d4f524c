"""LiveDuet: the DuetPlayer of a clip that the model is watching."""

import copy
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import traitlets as t

from mmduet.errors import DuetError
from mmduet.files import remove
from mmduet.model.prompt import TextTurn
from mmduet.policy import HEADS, REPLY, fresh_policy
from mmduet.streaming import LIVE_CONTEXT
from mmduet.streaming.session import DuetSession
from mmduet.trace import DuetTrace
from mmduet_widgets.camera import CAMERA, Camera
from mmduet_widgets.clip_file import clip_paths
from mmduet_widgets.clip_folders import ClipFolders
from mmduet_widgets.duet_player import SettingError
from mmduet_widgets.heartbeat import Heartbeat
from mmduet_widgets.live_players import LivePlayers
from mmduet_widgets.live_state import EXAMPLES, NOT_STARTED, LiveState
from mmduet_widgets.pictures import Pictures
from mmduet_widgets.player_state import empty_trace, json_number
from mmduet_widgets.policy_choice import PolicyChoice
from mmduet_widgets.run_settings import SETTINGS, check_setting, new_session
from mmduet_widgets.uploads import Uploads
from mmduet_widgets.watcher import Watcher

COMMANDS = ("start", "pause", "resume", "stop", "ask", "forget", "upload")
PLAYERS = LivePlayers()
SEND_EVERY = 0.15  # s between two traces of a clip sent to the browser, at least
FRAMES_SENT = 10_000  # frames per second, at most: each time the whole trace is sent


class LiveDuet(LiveState):
    """Shows a model while it watches a clip: its scores and responses appear live, and the user can ask.

    `start`, `pause`, `resume`, `stop`, `ask` and `forget` do the same as the buttons and return at once: a thread
    watches. `state` is "idle", "running", "paused", "ended", "stopped" or "error". `message` is the last error, and
    `trace` the trace so far.

    `threshold` takes effect with the next frame, `real_time` (no faster than the clip plays) at once. `mode`, `heads`,
    `frame_fps` (1/s), `remove_assistant_turns` and `repetition_penalty` (1 for none) take effect with the next
    `start`; `stale` tells that one of them has changed. Another `clip` ends the run.

    The clip ``camera:`` is the camera of whoever presses Watch on the page: the browser asks them, and sends its frames
    while the run lasts. Frames that come too late are dropped, and the context holds 60 frames unless the
    session has a bound of its own. No picture is stored.

    Only one player of a kernel watches: `start` stops all others, and so does a new one. The newest CLIPS_KEPT players
    keep their clips in memory. An older one shows its clip again after the next `start`.

    Args:
        session: It gives the model and the first settings, and is not used itself. `modes` are the built-in policies
            that fit its model (``greedy`` only if it decides in words, where no heads can be chosen), and its own.
        clips: A path, or paths to choose from. On the page, other files of their folders can be typed, and clips of the
            user's own uploaded.
        trace: A finished trace of the first clip. Runs begin with the same queries.
        spans: Of the first clip, as for DuetPlayer.
        examples: Questions to choose from.

    Raises:
        DuetError: There is no clip, a clip cannot be read, or the session's policy is not a policy.
    """

    _live: ClassVar = True
    _watcher: Watcher | None = None
    _heartbeat: Heartbeat | None = None

    def __init__(
        self,
        session: DuetSession,
        clips: str | Path | Iterable[str | Path],
        *,
        trace: DuetTrace | None = None,
        spans: Iterable[tuple[float, float, str]] = (),
        examples: Iterable[str] = EXAMPLES,
    ):
        paths = [str(path) for path in clip_paths(clips)]
        PLAYERS.make_room()
        self._folders, self._uploads = ClipFolders(paths), Uploads()
        self._session = session
        self._used: dict[str, Any] = {}  # the settings of the run that is shown; none before there is one
        self._opening = [query.text for query in trace.queries] if trace else []  # asked at the start of a run
        self._sent = 0.0
        policy = fresh_policy(session.policy)
        heads = (REPLY,) if session.model.decides == "words" else HEADS
        self._nothing = empty_trace(heads)
        super().__init__(paths[0], trace or self._nothing, policy=policy, spans=spans, title=Path(paths[0]).name)
        self._policies = PolicyChoice(policy, heads)
        self.set_trait("modes", self._policies.data())
        self.set_trait("clips", paths)
        self.set_trait("examples", list(examples))
        self.set_trait("upload", self._uploads.state)
        self.set_trait("waiting", list(self._opening))
        with self.hold_trait_notifications():
            self.clip = paths[0]
            self.mode, self.heads = self.policy["mode"], self.policy["heads"] or list(heads[:1])
            self.frame_fps, self.repetition_penalty = session.frame_fps, session.repetition_penalty or 1.0
            self.remove_assistant_turns = session.remove_assistant_turns
        self._used = self._settings() if trace else {}
        self.on_msg(self._run_command)
        PLAYERS.add(self)

    # commands

    def start(self) -> None:
        """Watch the clip from its start with the current settings. A run of this or of another player is stopped."""
        PLAYERS.stop()
        if self._released:
            self._load_clip()
        session = self._new_session()
        watcher = Watcher(
            session, self.clip, camera=self._new_camera(session), real_time=self.real_time, after=self._watcher,
            changed=self._follow, shown=partial(self._picture, Pictures()),
        )  # fmt: skip
        for text in self._opening:
            watcher.ask(text)
        with self._lock:
            self._watcher, self._used, self._policy = watcher, self._settings(), fresh_policy(session.policy)
            self.set_trait("stale", False)
            self.set_trait("message", "")
            self._show(watcher)
        watcher.start()
        self._heartbeat = Heartbeat(watcher, self._beat)

    def pause(self) -> None:
        """Pause after the current frame."""
        if self._watcher and self.watching:
            self._watcher.pause()
            self._follow(self._watcher)

    def resume(self) -> None:
        """Resume after a pause."""
        if self._watcher and self.watching:
            self._watcher.resume()
            self._follow(self._watcher)

    def stop(self) -> None:
        """End the run, even within a response. The trace stays, and the model's memory is freed."""
        if self._watcher:
            self._watcher.stop()

    def ask(self, text: str) -> None:
        """Ask at the current time, or at the start of each later run if no run is on.

        Raises:
            DuetError: The text is empty, or contains a token of the prompt.
        """
        text = TextTurn("user", text.strip()).text
        if not text:
            raise DuetError("the question is empty: type one.")
        if self._watcher and self.watching:
            self._watcher.ask(text)
            self._follow(self._watcher, at_once=True)
        else:
            self._opening.append(text)
            self.set_trait("waiting", list(self._opening))

    def forget(self) -> None:
        """Drop the questions for the start of the next run."""
        self._opening = []
        if not self.watching:
            self.set_trait("waiting", [])

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run is over. timeout: most seconds."""
        for part in (self._watcher, self._heartbeat):
            if part:
                part.join(timeout)

    def close(self) -> None:
        """Stop, and remove the player from every page."""
        self.stop()
        super().close()

    @property
    def watching(self) -> bool:
        """Whether a run is on; it may be paused."""
        return bool(self._used) and self._watcher is not None and self._watcher.state in ("running", "paused")

    @property
    def _grid_due(self) -> bool:
        return not (self._watcher and self._watcher.state == "running")  # then the kernel replays each threshold

    # settings

    def _settings(self) -> dict[str, Any]:
        return {name: copy.copy(getattr(self, name)) for name in SETTINGS}

    def _new_session(self) -> DuetSession:
        return new_session(self._session, self._policies, self._settings(), self.threshold)

    def _new_camera(self, session: DuetSession) -> Camera | None:
        """The camera of a run, if one is chosen. Its session forgets old frames, as it may have no end."""
        if self.clip != CAMERA:
            return None
        session.context_frames = session.context_frames or LIVE_CONTEXT
        return Camera(run=self.camera["run"] + 1, fps=session.frame_fps, size=session.processor.frame.fit)

    @t.validate("clip", "mode", "heads", "frame_fps", "repetition_penalty")
    def _check_setting(self, proposal: Any) -> Any:
        value = proposal["value"]
        try:
            check_setting(self._session, self._policies, proposal["trait"].name, value)
        except DuetError as error:
            raise SettingError(str(error)) from error
        return value

    @t.observe("threshold", *SETTINGS)
    def _use_setting(self, change: Any) -> None:
        if change["name"] == "mode" and (preset := self._policies.presets.get(self.mode)):
            self.threshold, self.heads = preset.threshold, [*preset.heads]
        if self._used:
            self.set_trait("stale", self._settings() != self._used)
        elif self.mode:
            self._show_policy(self._policies.make(self.mode, self.threshold, self.heads))
        if self._watcher and change["name"] == "threshold":
            self._watcher.threshold = change["new"]

    @t.observe("real_time")
    def _use_pace(self, change: Any) -> None:
        if self._watcher:
            self._watcher.set_real_time(change["new"])

    @t.observe("clip")
    def _use_clip(self, change: Any) -> None:
        if not change["old"]:
            return  # the first clip is already loaded
        if self._watcher and self.watching:  # what no frame took yet is asked at the start of the next run
            self._opening += [text for text in self._watcher.waiting if text not in self._opening]
        self.stop()
        with self._lock:
            self._load_clip()
            self._used = {}
            self.time = 0.0
            shown = {
                "title": "Camera" if change["new"] == CAMERA else Path(change["new"]).name,
                "trace": self._nothing,
                "waiting": list(self._opening),
            }
            for name, value in {**shown, **NOT_STARTED}.items():
                self.set_trait(name, value)
            self._show_policy(self._policies.make(self.mode, self.threshold, self.heads))

    # from the browser

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take values from the browser. A wrong one is reported in `message`, and the browser gets the old one back."""
        with self._lock:
            try:
                if sync_data.get("clip", CAMERA) != CAMERA:
                    self._folders.check(sync_data["clip"])
                super().set_state(sync_data)
            except (DuetError, t.TraitError) as error:
                self.set_trait("message", str(error))
                self.send_state([name for name in sync_data if name in self.keys])

    def _run_command(self, _: Any, content: dict[str, Any], buffers: Any) -> None:
        """Run a command, {"command": name, "number": …}; ask has a "text", upload a "piece". `heard` is its number."""
        if "frame" in content:
            self._take_frame(content["frame"], buffers)
        if "command" not in content:
            return  # the finished player's part
        command = content["command"]
        if isinstance(number := content.get("number"), int):
            self.set_trait("heard", number)
        if command not in COMMANDS:
            raise DuetError(f"command {command!r} is not known; known are {COMMANDS}.")
        self.set_trait("message", "")
        try:
            match command:
                case "ask":
                    self.ask(content["text"])
                case "upload":
                    self._receive(content["piece"], buffers)
                case _:
                    getattr(self, command)()
        except DuetError as error:
            self.set_trait("message", str(error))

    def _receive(self, piece: Any, buffers: Any) -> None:
        """Take a piece of a clip that the page sends; the complete clip is chosen."""
        try:
            if path := self._uploads.receive(piece, buffers):
                try:
                    self.clip = str(path)
                except DuetError as error:
                    remove(path)
                    self._uploads.drop()
                    raise DuetError(str(error).replace(str(path), path.name)) from error  # the name that the user knows
                self._folders.add(path)
                self.set_trait("clips", [*self.clips, self.clip])
        finally:
            self.set_trait("upload", self._uploads.state)

    def _take_frame(self, frame: Any, buffers: Any) -> None:
        """Take a frame of the page's camera."""
        if self._watcher and (camera := self._watcher.camera):
            try:
                camera.add(frame, buffers)
            except DuetError as error:
                self.set_trait("message", str(error))
            self._show_camera(camera)

    # to the browser

    def _beat(self, watcher: Watcher) -> None:
        if watcher is self._watcher:
            self.set_trait("heartbeat", self.heartbeat + 1)
            self.set_trait("progress", {"behind": watcher.behind, "left": watcher.left(self.duration)})

    def _follow(self, watcher: Watcher, *, at_once: bool = False) -> None:
        """Show the news of a run; its thread calls this, too."""
        with self._lock:
            pause = max(0.0 if watcher.camera else SEND_EVERY, len(self.trace) / FRAMES_SENT)
            due = watcher.state != self.state or self.state != "running" or time.monotonic() - self._sent >= pause
            if watcher is self._watcher and self._used and (due or at_once):
                self._show(watcher)

    def _show_camera(self, camera: Camera) -> None:
        with self._lock:  # the kernel's thread and the run's both come here
            self.set_trait("camera", camera.state)

    def _show(self, watcher: Watcher) -> None:
        trace, more = watcher.trace, len(self.trace)
        if not len(trace):  # its scores are of this model, too
            trace = replace(self._nothing, queries=trace.queries, context_length=trace.context_length)
        with self.hold_sync():  # one message, so that no page has the replays of another trace
            if trace == self.trace:  # a trait that stays equal has no observers called, and the run's state may be new
                self._show_policy(self._policy)
            self.set_trait("trace", trace)
            self.set_trait("waiting", watcher.waiting if self.watching else list(self._opening))
            self.set_trait("thresholds", [[at, json_number(value)] for at, value in list(watcher.thresholds.items())])
            if watcher.error:
                self.set_trait("message", watcher.error)
            if len(trace) != more:  # else the user may have moved the time
                self.time = float(trace.times[-1]) if len(trace) else 0.0
            if watcher.camera:
                self._show_camera(watcher.camera)
            self.set_trait("state", watcher.state)
        self._sent = time.monotonic()
