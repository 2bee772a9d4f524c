"""DuetPlayer: a clip, both score curves and what was said, to play and to drag the threshold of."""

import base64
import html
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets as t

from mmduet.errors import DuetError, VideoError
from mmduet.policy import HEADS, POLICIES, Policy, ScoreSum, ScoreThreshold
from mmduet.trace import DuetTrace, Query, Response

HERE = Path(__file__).parent
ESM_PARTS = [f"duet_player{part}.js" for part in ("_common", "_timeline", "_transcript", "_live", "")]
MAX_VIDEO_BYTES = 8_000_000
BROWSER_MAGIC = ((4, b"ftyp"), (0, b"\x1a\x45\xdf\xa3"))  # MP4; WebM and Matroska: (offset, bytes)

FRAME_HEIGHT = 690  # pixels of a frame with a clip; the clip's row takes what the rest leaves
NO_VIDEO_LESS = 110  # pixels a frame needs less without a clip
SUM_MORE = 90  # pixels of the running sum's panel

# The player alone on a page: the widget's module over a plain object instead of a kernel's model.
FRAME = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' blob:; \
style-src 'unsafe-inline'; media-src blob:">
<meta name="color-scheme" content="light dark">
<title>@TITLE@</title>
<style>
@CSS@
html, body, #player { height: 100%; margin: 0; }
#player > .mmduet-player { min-height: 100%; --mmduet-player-stage: minmax(150px, 1fr); }
</style>
</head>
<body>
<div id="player"></div>
<script type="application/json" id="data">@DATA@</script>
<script type="module">
const { esm, video, state } = JSON.parse(document.getElementById("data").textContent);
state.video = new DataView(Uint8Array.from(atob(video), (letter) => letter.charCodeAt(0)).buffer);
const listeners = {};
const model = {
  get: (name) => state[name],
  set: (name, value) => {
    if (Object.is(state[name], value)) return;
    state[name] = value;
    for (const listener of listeners[`change:${name}`] ?? []) listener();
  },
  save_changes: () => {},
  on: (event, listener) => (listeners[event] ??= new Set()).add(listener),
  off: (event, listener) => listeners[event]?.delete(listener),
};
const widget = await import(URL.createObjectURL(new Blob([esm], { type: "text/javascript" })));
widget.default.render({ model, el: document.getElementById("player") });
</script>
</body>
</html>
"""


class SettingError(DuetError, t.TraitError):
    """A trait cannot be this; as a TraitError it makes traitlets keep the old value."""


class DuetPlayer(anywidget.AnyWidget):
    """Plays a clip over the curves of its finished trace, and replays the policy at any threshold.

    The curves' threshold line can be dragged: hollow marks show where the policy would speak there,
    filled ones where the model spoke. Playback and replay run in the browser alone.

    video: a clip's path or its bytes, MP4 or WebM. A clip that is larger than 8 MB or in another
    format is not shown, and `note` says so. trace: scores are in [0, 1]; NaN is drawn as a gap.
    policy: the one whose threshold is dragged. spans: reference (start, end, label), s.

    Two traits live in both directions: `threshold`, and `time`, s (set it to seek). The others are
    read only. Raises VideoError where there is no clip, DuetError where trace or spans are wrong.
    """

    _esm = "\n".join((HERE / part).read_text(encoding="utf-8") for part in ESM_PARTS)  # one module, without a bundler
    _css = (HERE / "duet_player.css").read_text(encoding="utf-8")  # of a Path, anywidget would never let players go

    threshold = t.Float().tag(
        sync=True,
        to_json=lambda value, _: json_number(value),
        from_json=lambda value, _: float(value),
    )
    time = t.Float(0.0).tag(sync=True)
    trace = t.Instance(DuetTrace, read_only=True).tag(sync=True, to_json=lambda trace, _: _trace_data(trace))
    policy = t.Dict(read_only=True).tag(sync=True)
    spans: t.List = t.List(read_only=True).tag(sync=True)
    title = t.Unicode(read_only=True).tag(sync=True)
    video = t.Bytes(read_only=True).tag(sync=True)
    note = t.Unicode(read_only=True).tag(sync=True)

    def __init__(
        self,
        video: str | Path | bytes,
        trace: DuetTrace,
        *,
        policy: ScoreThreshold | ScoreSum,
        spans: Iterable[tuple[float, float, str]] = (),
        title: str = "",
    ):
        clip, note = read_clip(video)
        state = {
            "trace": trace,
            "policy": policy_data(policy),
            "spans": [_span_data(span) for span in spans],
            "title": title,
            "video": clip,
            "note": note,
        }
        super().__init__(threshold=policy.threshold)
        with self.hold_sync():
            for name, value in state.items():
                self.set_trait(name, value)

    @t.default("trace")
    def _no_trace(self) -> DuetTrace:
        return DuetTrace.from_events([])

    @t.validate("trace")
    def _check_trace(self, proposal: Any) -> DuetTrace:
        _trace_data(proposal["value"])
        return proposal["value"]

    @t.validate("threshold")
    def _check_threshold(self, proposal: Any) -> float:
        if math.isnan(proposal["value"]):
            raise SettingError("threshold=nan: a threshold is a number; use math.inf to never speak.")
        return proposal["value"]

    @t.validate("time")
    def _check_time(self, proposal: Any) -> float:
        if not 0 <= proposal["value"] < math.inf:
            raise SettingError(f"time={proposal['value']}: give seconds from the clip's start, 0 or more.")
        return proposal["value"]

    def to_html(self) -> str:
        """The player as it stands, clip included, in one `<iframe>` that asks nothing of any network.

        For pages without a kernel: `display(HTML(player.to_html()))`.
        """
        height = FRAME_HEIGHT + SUM_MORE * (self.policy["mode"] == "sum") - NO_VIDEO_LESS * (not self.video)
        return (
            f'<iframe class="mmduet-player-frame" title="{html.escape(self.title or "Duet player")}" '
            f'sandbox="allow-scripts" style="width: 100%; height: {height}px; border: 0" '
            f'srcdoc="{html.escape(self._document())}"></iframe>'
        )

    def _document(self) -> str:
        """The page within the frame."""
        state = self.get_state(["threshold", "time", "trace", "policy", "spans", "title", "note"])
        data = {"esm": self._esm, "video": base64.b64encode(self.video).decode(), "state": state}
        parts = {
            "TITLE": html.escape(self.title or "Duet player"),
            "CSS": self._css,
            # no "<" is left in it, so no text can end the script element
            "DATA": json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
        }
        return re.sub("@(TITLE|CSS|DATA)@", lambda match: parts[match[1]], FRAME)


def read_clip(video: str | Path | bytes) -> tuple[bytes, str]:
    """The clip's bytes and "", or none and a sentence that says why it is not shown."""
    name = "the clip" if isinstance(video, bytes) else str(video)
    size = len(video) if isinstance(video, bytes) else _file_size(Path(video))
    if not size:
        raise VideoError(f"{name}: has 0 bytes; give an MP4 or WebM clip.")
    if size > MAX_VIDEO_BYTES:
        limit = f"the {MAX_VIDEO_BYTES / 1e6:.0f} MB that a player takes"
        return b"", f"The clip is not shown: its {size / 1e6:.1f} MB are more than {limit}."
    clip = video if isinstance(video, bytes) else Path(video).read_bytes()
    if not any(clip[offset:].startswith(magic) for offset, magic in BROWSER_MAGIC):
        return b"", "The clip is not shown: browsers play MP4 and WebM, and it is neither."
    return clip, ""


def _file_size(path: Path) -> int:
    if not path.is_file():
        raise VideoError(f"{path}: no such file; give the path of a clip, or its bytes.")
    return path.stat().st_size


def _trace_data(trace: DuetTrace) -> dict[str, Any]:
    """The trace as plain JSON; a score that is NaN becomes None."""
    times = np.asarray(trace.times, dtype=float)
    if not np.isfinite(times).all() or (np.diff(times) < 0).any() or (times < 0).any():
        raise DuetError("trace.times: seconds from the clip's start, 0 or more, in ascending order.")
    return {
        "times": times.tolist(),
        **{head: _score_data(head, getattr(trace, head), len(times)) for head in HEADS},
        "responses": _turn_data("responses", trace.responses),
        "queries": _turn_data("queries", trace.queries),
    }


def _score_data(head: str, scores: np.ndarray, frames: int) -> list[float | None]:
    scores = np.asarray(scores, dtype=float)
    if scores.shape != (frames,):
        raise DuetError(f"trace.{head}: shape {list(scores.shape)}, but there are {frames} times; give each one score.")
    if ((scores < 0) | (scores > 1)).any():
        raise DuetError(f"trace.{head}: from {np.nanmin(scores)} to {np.nanmax(scores)}; scores are in [0, 1].")
    return [None if math.isnan(score) else score for score in scores.tolist()]


def _turn_data(name: str, turns: Iterable[Query | Response]) -> list[dict[str, Any]]:
    """The turns in order of time."""
    data: list[dict[str, Any]] = [{"time": float(turn.time), "text": str(turn.text)} for turn in turns]
    for turn in data:
        if not 0 <= turn["time"] < math.inf:
            raise DuetError(f"trace.{name}: a turn at {turn['time']} s; give seconds from the clip's start, 0 or more.")
    return sorted(data, key=lambda turn: turn["time"])


def policy_data(policy: Policy) -> dict[str, Any]:
    for mode, kind in POLICIES.items():
        if isinstance(policy, kind):
            return {"mode": mode, "threshold": json_number(policy.threshold), "heads": list(policy.heads)}
    raise DuetError(f"policy={policy!r}: the player replays ScoreThreshold and ScoreSum.")


def json_number(value: float) -> float | str:
    """A number as JSON; infinity, which JSON lacks, as the text that JavaScript's Number and float read."""
    return float(value) if math.isfinite(value) else str(float(value)).replace("inf", "Infinity")


def _span_data(span: tuple[float, float, str]) -> dict[str, Any]:
    start, end, label = span
    if not 0 <= start <= end < math.inf:
        raise DuetError(f"span {tuple(span)!r}: start and end are seconds, 0 <= start <= end.")
    return {"start": float(start), "end": float(end), "label": str(label)}
