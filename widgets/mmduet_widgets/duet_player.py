"""DuetPlayer: a clip over the score curves, queries and responses of its trace, with a threshold to drag."""

import base64
import math
from collections.abc import Iterable
from pathlib import Path
from threading import RLock
from typing import Any, ClassVar

import anywidget
import traitlets as t

from mmduet.errors import DuetError
from mmduet.policy import Policy, checked_policy, checked_threshold, has_threshold
from mmduet.trace import EXPORTS, DuetTrace
from mmduet_widgets.clip_file import clip_duration, read_clip
from mmduet_widgets.frame import frame, source
from mmduet_widgets.player_state import (
    curves_data,
    grid_data,
    json_number,
    policy_data,
    replays_data,
    span_data,
    trace_data,
)

PARTS = (  # in this order, since classes and constants are used by those below
    *("_common", "_axis", "_pointer", "_timeline", "_view", "_transcript"),
    *("_kernel", "_upload", "_camera", "_live", "_stage", "_export", ""),
)
ESM_PARTS = [f"duet_player{part}.js" for part in PARTS]

FRAME_HEIGHT = 720  # pixels of a frame with a clip; the clip's row takes the rest of it
WITHOUT_VIDEO = -110  # pixels more without a clip
OWN_PANEL = 90  # pixels more with a panel for the decision curve


class SettingError(DuetError, t.TraitError):
    """A trait cannot have this value. As a TraitError it makes traitlets keep the old one."""


class DuetPlayer(anywidget.AnyWidget):
    """Plays a clip over the curves of its finished trace, and replays the policy at any threshold.

    The curves are the trace's own: both heads, `reply` of a model that decides in words, or none of a trace without
    frames, as of a prediction line that has responses alone.

    The threshold's line can be dragged. Hollow marks show when the policy would speak there, filled ones when the
    model spoke. Playback and dragging run in the browser; with a kernel, every threshold is exact.

    Two traits work in both directions: `threshold`, None for a policy without one, and `time`, s (set it to seek). The
    others are read only.

    Args:
        video: A clip's path or its bytes, MP4 or WebM. A clip that is larger than 8 MB or in another format is not
            shown, and `note` says so; `duration` is its length, s, where it is known.
        trace: Scores are in [0, 1]; nan is drawn as a gap.
        policy: The policy that is replayed. One without a threshold shows its marks alone.
        spans: Reference (start, end, label), s.
        title: Shown above.

    Raises:
        VideoError: The clip does not exist or is empty.
        DuetError: The trace, a span or the policy is wrong.
    """

    _esm = "\n".join(source(part) for part in ESM_PARTS)  # one module, without a bundler
    _css = source("duet_player.css")
    _live: ClassVar = False  # whether the trace grows
    _ready = False  # whether a new trace is to be replayed

    threshold: t.TraitType[Any, Any] = t.TraitType(0.0).tag(  # float | None; unlike t.Float it has None checked, too
        sync=True,
        to_json=lambda value, _: None if value is None else json_number(value),
        from_json=lambda value, _: None if value is None else float(value),
    )
    time = t.Float(0.0).tag(sync=True)
    trace = t.Instance(DuetTrace, read_only=True).tag(sync=True, to_json=lambda trace, _: trace_data(trace))
    curves: "t.List[Any]" = t.List(read_only=True).tag(sync=True)
    policy = t.Dict(read_only=True).tag(sync=True)
    replays: "t.List[Any]" = t.List(read_only=True).tag(sync=True)
    replay_grid = t.Dict(None, allow_none=True, read_only=True).tag(sync=True)
    spans: "t.List[Any]" = t.List(read_only=True).tag(sync=True)
    title = t.Unicode(read_only=True).tag(sync=True)
    video = t.Bytes(read_only=True).tag(sync=True)
    note = t.Unicode(read_only=True).tag(sync=True)
    duration = t.Float(read_only=True).tag(sync=True)

    def __init__(
        self,
        video: str | Path | bytes,
        trace: DuetTrace,
        *,
        policy: Policy,
        spans: Iterable[tuple[float, float, str]] = (),
        title: str = "",
    ):
        shown = self._clip_state(video)
        self._lock = RLock()  # a live player's thread and the kernel's both set traits
        self._policy = checked_policy(policy)
        state = {
            "trace": trace,
            "spans": [span_data(span) for span in spans],
            "title": title,
            **shown,
        }
        super().__init__(threshold=policy.threshold if has_threshold(policy) else None)
        with self.hold_sync():
            for name, value in state.items():
                self.set_trait(name, value)
            self._show_policy(policy)
        self._ready = True
        self.on_msg(self._send_export)

    def notify_change(self, change: Any) -> None:
        """Send a change; two threads may set traits, but only one of them sends at a time."""
        with self._lock:
            super().notify_change(change)

    def _clip_state(self, video: str | Path | bytes) -> dict[str, Any]:
        """The traits that show a clip."""
        clip, note = read_clip(video)
        return {"video": clip, "note": note, "duration": clip_duration(video)}

    @property
    def _grid_due(self) -> bool:
        """Whether all of the slider's places are replayed, not only the threshold as it stands."""
        return True

    def _show_policy(self, policy: Policy) -> None:
        """Replay this policy from now on."""
        with self._lock, self.hold_sync():
            self._policy = policy
            if has_threshold(policy) != (self.threshold is not None):
                self.threshold = policy.threshold if has_threshold(policy) else None
            self.set_trait("curves", curves_data(self.trace, live=self._live))
            self.set_trait("policy", policy_data(policy, self.trace, live=self._live))
            self.set_trait("replays", self._exact())
            grid = grid_data(policy, self.trace, self.policy.get("dial")) if self._grid_due else None
            self.set_trait("replay_grid", grid)

    def _exact(self) -> list[dict[str, Any]]:
        """The replays at the threshold as it stands and at the policy's own."""
        own = self._policy.threshold if has_threshold(self._policy) else None
        return replays_data(self._policy, self.trace, [self.threshold, own])

    @t.default("trace")
    def _no_trace(self) -> DuetTrace:
        return DuetTrace.from_events([])

    @t.validate("trace")
    def _check_trace(self, proposal: Any) -> DuetTrace:
        trace: DuetTrace = proposal["value"]
        trace_data(trace)
        return trace

    @t.validate("threshold")
    def _check_threshold(self, proposal: Any) -> float | None:
        value: float | None = proposal["value"]
        if isinstance(value, int | float) != has_threshold(self._policy):
            raise SettingError(f"threshold={value!r}: give None for a policy without a threshold, and else a number.")
        try:
            return None if value is None else checked_threshold(float(value))
        except DuetError as error:
            raise SettingError(str(error)) from None

    @t.observe("trace")
    def _replay_trace(self, change: Any) -> None:
        if self._ready:
            self._show_policy(self._policy)

    @t.observe("threshold")
    def _replay_threshold(self, change: Any) -> None:
        with self._lock:
            self.set_trait("replays", self._exact())

    @t.validate("time")
    def _check_time(self, proposal: Any) -> float:
        value: float = proposal["value"]
        if not 0 <= value < math.inf:
            raise SettingError(f"time={value}: give seconds from the clip's start, 0 or more.")
        return value

    def _export(self, kind: str) -> str:
        return EXPORTS[kind].make(self.trace, self.duration or None)

    def _send_export(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """Answer {"export": kind} of the page's menu with the file's text."""
        kind = content.get("export")
        if isinstance(kind, str) and kind in EXPORTS:
            self.send({"export": kind, "text": self._export(kind)})

    def to_html(self) -> str:
        """Make an `<iframe>` of the player as it stands, with its clip, that needs neither network nor kernel.

        For pages without a kernel: ``display(HTML(player.to_html()))``.
        """
        shown = policy_data(self._policy, self.trace)
        state = self.get_state(["threshold", "time", "trace", "replays", "spans", "title", "note", "duration"])
        state |= {
            "curves": curves_data(self.trace),
            "policy": shown,
            "replay_grid": grid_data(self._policy, self.trace, shown.get("dial")),
            "exports": {kind: self._export(kind) for kind in EXPORTS},
        }
        return frame(
            "duet_player.html",
            {"esm": self._esm, "video": base64.b64encode(self.video).decode(), "state": state},
            title=self.title or "Duet player",
            height=FRAME_HEIGHT + OWN_PANEL * ("sum" in shown["tops"]) + WITHOUT_VIDEO * (not self.video),
            name="mmduet-player-frame",
            downloads=True,
            CSS=self._css,
        )
