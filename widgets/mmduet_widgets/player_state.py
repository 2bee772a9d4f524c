"""The player's state as plain JSON: the trace, and when a policy speaks at which threshold.

The page decides nothing by itself: it looks the marks and the decision curve of a threshold up in what is computed
here. `replays` are exact, `replay_grid` covers the slider's places.
"""

import base64
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mmduet.errors import DuetError
from mmduet.plots.colors import DECISION_COLOR, HEAD_COLORS
from mmduet.plots.decision import accumulates, decision_head, decision_name, policy_heads
from mmduet.policy import (
    HEADS,
    REPLY,
    FloatArray,
    Policy,
    ThresholdPolicy,
    curve_of,
    fresh_policy,
    has_threshold,
    policy_mode,
    replay_thresholds,
    threshold_grid,
)
from mmduet.trace import DuetTrace, Query, Response

PLACES = 100  # steps of the threshold's slider, of a trace that is not too long …
MOST_REPLAYED = 1_000_000  # … frames times thresholds
FEWEST_PLACES = 20


def json_number(value: float) -> float | str:
    """A number as JSON. Infinity, which JSON lacks, becomes the text that JavaScript's Number and float read."""
    return float(value) if math.isfinite(value) else str(float(value)).replace("inf", "Infinity")


# the trace


def curves_data(trace: DuetTrace, *, live: bool = False) -> list[dict[str, str]]:
    """The curves of a trace, each with name and color; none of a finished trace without scores."""
    heads = trace.heads if len(trace) or live else ()
    return [{"name": head, "color": HEAD_COLORS[head]} for head in heads]


def trace_data(trace: DuetTrace) -> dict[str, Any]:
    """The trace as JSON; a score that is nan becomes None. Raises DuetError for times, scores or turns out of range."""
    times = np.asarray(trace.times, dtype=float)
    if not np.isfinite(times).all() or (np.diff(times) < 0).any() or (times < 0).any():
        raise DuetError("trace.times: seconds from the clip's start, 0 or more, in ascending order.")
    return {
        "times": times.tolist(),
        **{head: _score_data(head, trace.curve(head), len(times)) for head in trace.heads},
        "responses": _turn_data("responses", trace.responses),
        "queries": _turn_data("queries", trace.queries),
    }


def _score_data(head: str, scores: FloatArray, frames: int) -> list[float | None]:
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


def empty_trace(heads: Iterable[str]) -> DuetTrace:
    """A trace of no frames that has these scores."""
    scores: dict[str, Any] = {head: np.zeros(0) for head in heads}
    return DuetTrace(np.zeros(0), **scores)


def span_data(span: tuple[float, float, str] | tuple[float, float]) -> dict[str, Any]:
    """A reference span as JSON. Raises DuetError for one that ends before it starts."""
    start, end, label = (*span, "")[:3]
    if not 0 <= start <= end < math.inf:
        raise DuetError(f"span {tuple(span)!r}: start and end are seconds, 0 <= start <= end.")
    return {"start": float(start), "end": float(end), "label": str(label)}


# the policy


def policy_data(policy: Policy, trace: DuetTrace, *, live: bool = False) -> dict[str, Any]:
    """What the page shows of a policy.

    Args:
        policy: With a threshold or without one.
        trace: The trace that is shown.
        live: Whether the trace still grows, so that panels have room for scores to come.

    Returns:
        mode, heads, threshold (None without one), tops (the largest value of each panel), and with a threshold
        decision (how its curve is shown) and dial (the slider's range).
    """
    scores = [trace.curve(head) for head in trace.heads]
    data: dict[str, Any] = {
        "mode": policy_mode(policy),
        "heads": list(policy_heads(policy, trace)),
        "threshold": None,
        "decision": None,
        "tops": {"score": _round_top(_largest(*scores, [live]))},
    }
    if not has_threshold(policy):
        return data
    head, own_panel = decision_head(policy, trace), accumulates(policy)
    reach = max(_reach(policy, trace, live=live), _largest(curve_of(policy, _scored(trace))))
    top = _round_top(reach if own_panel else max(reach, _largest(*scores, [live])))
    data["tops"]["sum" if own_panel else "score"] = top
    digits = 4 if top < 0.1 else 3 if top < 1 else 2
    return data | {
        "threshold": json_number(policy.threshold),
        "decision": {
            "head": head,
            "name": decision_name(policy, trace),
            "color": DECISION_COLOR,
            "own_panel": own_panel,
        },
        "dial": {"top": top, "step": float(f"{top / _places(trace):.3g}"), "digits": digits},
    }


def _scored(trace: DuetTrace) -> DuetTrace:
    """The trace; without frames, as of a prediction line of responses alone, one that has every score."""
    return trace if len(trace) else empty_trace((*HEADS, REPLY))


def _places(trace: DuetTrace) -> int:
    return min(PLACES, max(FEWEST_PLACES, MOST_REPLAYED // max(len(trace), 1)))


def _reach(policy: ThresholdPolicy, trace: DuetTrace, *, live: bool) -> float:
    """The largest threshold of interest: up to 2.5 times the one in use, but not beyond never speaking."""
    used = policy.threshold if 0 < policy.threshold < math.inf else 0.0
    never = _largest(threshold_grid(policy, [empty_trace(trace.heads) if live else _scored(trace)]))
    if live and accumulates(policy):
        never = 2.5 * used or never
    return max(used, min(2.5 * used, never)) if used else never


def _largest(*values: FloatArray | Sequence[float]) -> float:
    """The largest finite one of all values, at least 0."""
    every = np.concatenate([np.zeros(1), *(np.asarray(each, dtype=float) for each in values)])
    return float(every[np.isfinite(every)].max())


def _round_top(value: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that reaches value, or a twentieth."""
    power = 10.0 ** math.floor(math.log10(max(value, 0.05)))
    return next(float(f"{f * power:.3g}") for f in (1, 2, 5, 10) if f * power >= value - 1e-9)


# its replays


def replays_data(policy: Policy, trace: DuetTrace, thresholds: Iterable[float | None]) -> list[dict[str, Any]]:
    """The exact replay at each threshold, or of a policy without one: threshold, frames that speak, decision curve."""
    if not has_threshold(policy):
        return [{"threshold": None, "frames": trace.replay(fresh_policy(policy)).tolist(), "curve": None}]
    given = [policy.with_threshold(value) for value in dict.fromkeys(thresholds) if value is not None]
    return [
        {
            "threshold": json_number(each.threshold),
            "frames": trace.replay(each).tolist(),
            "curve": _curve_data(each, trace),
        }
        for each in given
    ]


def _curve_data(policy: ThresholdPolicy, trace: DuetTrace) -> list[float | None] | None:
    """The decision curve; None where it is one head's scores."""
    if decision_head(policy, trace):
        return None
    curve = curve_of(policy, _scored(trace)).tolist()
    return [round(value, 6) if math.isfinite(value) else None for value in curve]


def grid_data(policy: Policy, trace: DuetTrace, dial: dict[str, float] | None) -> dict[str, Any] | None:
    """The replay at each of the slider's places, packed.

    Returns:
        step: between two thresholds, from 0 on. count: of thresholds. length: N, of frames. frames: bool [count, N] as
        bits, rows padded to bytes, in base64. curve: the decision curve of the largest threshold. offsets: for each
        threshold the differences from it, as runs [first frame, difference]; none where the curve is the same.
    """
    if dial is None or not has_threshold(policy):
        return None
    count = round(dial["top"] / dial["step"]) + 1
    thresholds = [float(f"{place * dial['step']:.6g}") for place in range(count)]
    speaks = replay_thresholds(policy, [_scored(trace)], thresholds)[0]
    last = policy.with_threshold(thresholds[-1])
    curve = _curve_data(last, trace)
    offsets = [] if curve is None else _offsets(policy, trace, thresholds)
    packed = base64.b64encode(np.packbits(speaks, axis=1).tobytes()).decode()
    return {
        "step": dial["step"],
        "count": count,
        "length": len(trace),
        "frames": packed,
        "curve": curve,
        "offsets": offsets,
    }


def _offsets(policy: ThresholdPolicy, trace: DuetTrace, thresholds: Sequence[float]) -> list[list[list[float]]]:
    """How the decision curve of each threshold differs from that of the last one, as runs of one difference."""
    curves = np.array([curve_of(policy.with_threshold(threshold), _scored(trace)) for threshold in thresholds])
    differences = np.round(np.nan_to_num(curves - curves[-1]), 3)
    if not differences.any():
        return []
    firsts = np.diff(differences, axis=1, prepend=0) != 0
    return [
        [[int(frame), float(row[frame])] for frame in np.flatnonzero(first)]
        for row, first in zip(differences, firsts, strict=True)
    ]
