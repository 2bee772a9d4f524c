"""Watcher: runs a session over a clip or a camera in a thread of its own. It knows no widgets."""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Condition, Thread
from typing import Literal

import torch

from mmduet.errors import DuetError
from mmduet.events import Event
from mmduet.model.prompt import TextTurn
from mmduet.policy import FrameScores, has_threshold
from mmduet.streaming.context import Interrupted
from mmduet.streaming.session import DuetSession
from mmduet.system import threads
from mmduet.trace import DuetTrace, Query
from mmduet.video import FrameBatch, iter_frames
from mmduet_widgets.camera import Camera
from mmduet_widgets.pace import Pace

WatcherState = Literal["running", "paused", "ended", "stopped", "error"]


class Watcher:
    """Watches one clip from its start, or a camera. Each frame is read, encoded and scored at its time.

    At the end, also after an error, the session is reset and the file is closed.

    Args:
        session: Used by this watcher alone.
        clip: Any video file.
        camera: Its frames take the place of the clip's, if given. It ends with the run.
        real_time: Whether frames keep at least the distance that they have in the clip; a camera's do so anyway.
        after: An earlier watcher that was stopped; this one begins when that one's memory is free.
        changed: Called in the watcher's thread after each event and each change of state.
        shown: Called in the watcher's thread with the time, s, and the pixels, uint8 [3, H, W], of each frame that the
            model is about to see.
    """

    def __init__(
        self,
        session: DuetSession,
        clip: str | Path,
        *,
        camera: Camera | None = None,
        real_time: bool = True,
        after: "Watcher | None" = None,
        changed: Callable[["Watcher"], None] = lambda watcher: None,
        shown: Callable[[float, torch.Tensor], None] = lambda time, frame: None,
    ):
        session.reset()
        self.session, self.clip, self.camera = session, clip, camera
        self.real_time = real_time and camera is None
        self.changed, self.shown = changed, shown
        policy = session.policy
        self.threshold = policy.threshold if has_threshold(policy) else None
        self.thresholds = {} if self.threshold is None else {0.0: self.threshold}  # time, s -> threshold from then on
        self.error = ""
        self._events: list[Event] = []
        self._asked: list[str] = []
        self._context_length = 0
        self._paused = self._stopped = False
        self._pace = Pace()
        self._end: WatcherState | None = None
        self._condition = Condition()
        self._thread = Thread(target=self._run, args=(after,), name="mmduet-watcher", daemon=True)

    @property
    def state(self) -> WatcherState:
        """The state of the run."""
        return self._end or ("paused" if self._paused else "running")

    @property
    def trace(self) -> DuetTrace:
        """The trace so far."""
        return DuetTrace.from_events(list(self._events), context_length=self._context_length)

    @property
    def waiting(self) -> list[str]:
        """Questions that have not entered the context yet; each frame lets one enter."""
        return self._asked[sum(isinstance(event, Query) for event in list(self._events)) :]

    @property
    def behind(self) -> float:
        """How far the model is behind the clip, s; 0 where it need not keep the clip's pace."""
        if not self.real_time:
            return 0.0
        return self._pace.behind(time.monotonic() if self.state == "running" else None)

    def left(self, duration: float) -> float | None:
        """Time from here to the end of a clip of `duration`, s, about; None before the second frame, or for 0."""
        return self._pace.left(duration) if duration else None

    # commands, from any thread; none of them waits for the model

    def start(self) -> None:
        """Start the thread."""
        threads.start(self._thread, self.stop)

    def pause(self) -> None:
        """Pause after the current frame and its response."""
        self._paused = True
        if self.camera:
            self.camera.pause(True)

    def resume(self) -> None:
        """Resume after a pause."""
        with self._condition:
            self._paused = False
            self._condition.notify_all()
        if self.camera:
            self.camera.pause(False)

    def stop(self) -> None:
        """Stop before the model's next step; it cannot be started again."""
        with self._condition:
            self._stopped = True
            self.session.interrupt()
            self._condition.notify_all()
        if self.camera:
            self.camera.end()

    def set_real_time(self, real_time: bool) -> None:
        """Set whether frames keep the distance that they have in the clip."""
        with self._condition:
            self.real_time = real_time and self.camera is None
            self._condition.notify_all()

    def ask(self, text: str) -> None:
        """Ask with the next frame. Raises DuetError for a text with one of the prompt's own tokens."""
        self._asked.append(TextTurn("user", text).text)

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end. timeout: most seconds."""
        self._thread.join(timeout)

    # in the thread

    def _run(self, after: "Watcher | None") -> None:
        try:
            if after:
                after.join()
            for event in self.session.stream(self._frames()):
                self._events.append(event)
                if self.camera and isinstance(event, FrameScores):
                    self.camera.mark_scored()
                self._context_length = len(self.session.state.context)
                self.changed(self)
            end: WatcherState = "ended"
        except Interrupted:
            end = "stopped"
        except Exception as error:
            end, self.error = "error", _message(error)
        self.session.reset()
        if self.camera:
            self.camera.end()
        self._end = end
        self.changed(self)

    def _frames(self) -> Iterator[FrameBatch]:
        """Each frame at its time, after the questions and the threshold that have come until then."""
        session, given = self.session, 0
        for batch in self.camera or self._clip_frames():
            self._wait()
            self._pace.begin(float(batch.times[0]), 1 / session.frame_fps, time.monotonic())
            for text in self._asked[given:]:
                session.ask(text)
                given += 1
            self._use_threshold()
            self.shown(float(batch.times[0]), batch.frames[0])
            yield batch
        if self._stopped:  # while it waited for the camera
            raise Interrupted

    def _clip_frames(self) -> Iterator[FrameBatch]:
        session = self.session
        return iter_frames(self.clip, fps=session.frame_fps, size=session.processor.frame.fit, batch_size=1)

    def _wait(self) -> None:
        """Wait until the next frame is due. Raises Interrupted once it is stopped."""
        with self._condition:
            if self.real_time:
                self._pace.arrive(time.monotonic())
            while not self._stopped:
                now = time.monotonic()
                left = self._pace.due - now if self.real_time else 0.0
                if not self._paused and left <= 0:
                    return
                paused = self._paused
                self._condition.wait(None if paused else left)
                if paused:
                    self._pace.pause(time.monotonic() - now)
        raise Interrupted

    def _use_threshold(self) -> None:
        policy, threshold = self.session.policy, self.threshold
        if threshold is not None and has_threshold(policy) and threshold != policy.threshold:
            policy.threshold = threshold
            self.thresholds[self.session.time] = threshold


def _message(error: Exception) -> str:
    """The error in a sentence; an unexpected one is also logged with its stack."""
    if isinstance(error, DuetError):
        return str(error)
    logging.getLogger(__name__).error("watching failed", exc_info=error)
    return f"{type(error).__name__}: {error}"
