"""Annotations of `scenes` for benchmarks of a stream: OVO-Bench and StreamingBench's Proactive Output.

In both an event is a scene that comes into view.
"""

import math
import re
from typing import Any

import numpy as np

from mmduet.data.scenes.concepts import CONCEPTS
from mmduet.data.scenes.script import Script, Shot

REACTION = 1.5  # s after a scene's start, when it can be recognised
DUE = 2.0  # s after a scene's start, when it is surely in view
LAST = 1.0  # s before the video's end: the latest time of a question
OPTIONS = 4


def ovobench(script: Script) -> list[dict[str, Any]]:
    """An entry of each of five tasks: OJR, EPM, REC, SSR and CRR."""
    rng = script.draw(6)
    first, second = script.scenes[:2]
    last = script.duration - LAST
    entries = [
        _choice(rng, "OJR", "What can be seen now?", first.span[0] + REACTION, first, script),
        _choice(rng, "EPM", "What came into view first?", second.span[0] + REACTION, first, script),
        _count(rng, script, last),
        _steps(script),
        _clue(first, second, last),
    ]
    number = script.entropy[-1] * 10
    return [{"id": number + i, "video": script.name} | entry for i, entry in enumerate(entries)]


def _noun(shot: Shot) -> str:
    return CONCEPTS[str(shot.concept)].noun


def _choice(
    rng: np.random.Generator, task: str, question: str, time: float, right: Shot, script: Script
) -> dict[str, Any]:
    """Options: the right one, and others of which most are not in the clip."""
    others = [concept.noun for key, concept in CONCEPTS.items() if key != right.concept]
    options = [_noun(right), *rng.permutation(others)[: OPTIONS - 1].tolist()]
    shuffled = rng.permutation(options).tolist()
    return {
        "task": task, "realtime": time, "question": question, "answer": _noun(right), "options": shuffled,
        "gt": shuffled.index(_noun(right)),
    }  # fmt: skip


def _count(rng: np.random.Generator, script: Script, last: float) -> dict[str, Any]:
    """How often a concept comes into view, asked at each of its ends and at the end of the clip."""
    keys = [str(shot.concept) for shot in script.scenes]
    key = max(rng.permutation(keys).tolist(), key=keys.count)
    spans = [shot.span for shot in script.scenes if shot.concept == key]
    times = [min(end, last) for _, end in spans]
    points = [{"realtime": time, "count": count} for count, time in enumerate(times, 1)]
    if times[-1] < last:
        points.append({"realtime": last, "count": len(spans)})
    return {
        "task": "REC", "activity": f"a new view of {CONCEPTS[key].noun}",
        "start_times": [start for start, _ in spans], "end_times": [end for _, end in spans], "test_info": points,
    }  # fmt: skip


def _steps(script: Script) -> dict[str, Any]:
    """Each scene is a step, asked about before it, in it and before its end."""
    points = []
    for shot in script.scenes:
        (start, end), step = shot.span, f"a view of {_noun(shot)}"
        times = {start - DUE: 0, start + DUE: 1, end - LAST: 1}
        points += [{"realtime": time, "step": step, "type": kind} for time, kind in times.items() if time >= 0]
    return {
        "task": "SSR", "tutorial": "WatchWhatComesIntoView", "all_steps": [_noun(shot) for shot in script.scenes],
        "start_time": [shot.span[0] for shot in script.scenes], "end_time": [shot.span[1] for shot in script.scenes],
        "test_info": points,
    }  # fmt: skip


def _clue(first: Shot, second: Shot, last: float) -> dict[str, Any]:
    """What comes after the first scene, asked in this scene."""
    asked, clue = first.span[0] + REACTION, second.span[0]
    times = [(asked, 0), ((asked + clue) / 2, 0), (clue + DUE, 1), (last, 1)]
    return {
        "task": "CRR", "question": f"What comes into view after {_noun(first)}?", "answer": _noun(second),
        "ask_time": asked, "clue_time": clue,
        "test_info": [{"realtime": time, "type": kind} for time, kind in times],
    }  # fmt: skip


def streamingbench(script: Script) -> dict[str, Any]:
    """One question: say what comes into view next. It is asked at the start, or once the first scene is in view."""
    first, second = script.scenes[:2]
    asked, target = (0.0, first) if first.span[0] else (DUE, second)
    output = re.sub(r"^(an?|the) ", "", _noun(target))
    question = {
        "task_type": "Proactive Output",
        "question": f'When you see {_noun(target)}, output "{output}".',
        "time_stamp": _clock(asked),
        "ground_truth_time_stamp": _clock(target.span[0]),
        "ground_truth_output": output,
        "required_ability": "working memory",
    }
    whole = f"[{_clock(0)} - {_clock(script.duration)}]"
    return {"time": whole, "questions": [question], "video_categories": "scenes", "video_path": script.name}


def _clock(seconds: float) -> str:
    """HH:MM:SS, rounded up."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}"
