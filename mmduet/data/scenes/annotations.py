"""Annotations of `scenes`: a script -> its entries in all the published formats, and in those of the benchmarks.

A caption is due once per scene, when the scene has been in view for a moment. In a pause nothing is due.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmduet.data.kinds import GROUNDING, MAGQA, NARRATION
from mmduet.data.scenes.concepts import CONCEPTS
from mmduet.data.scenes.script import RATE, Script, Shot
from mmduet.data.scenes.streaming import ovobench, streamingbench

REACTION = 1.5  # s between a scene's start and its caption
QVH_CLIP = 2.0  # s
LATE = 1.0  # s after what an answer is about, in which ProactiveVideoQA still counts a reply
MOST_FRAMES = 128  # of a conversation
INSTRUCTION = "Please concisely narrate the video in real time."
QUESTIONS = (
    "What comes into view?",
    "Tell me what appears, whenever something new does.",
    "What can you see from now on?",
    "Name each thing as it shows up.",
    "What is that, and what comes after it?",
)


def annotation_files(split: str, scripts: list[Script]) -> dict[str, str]:
    """The annotation files of a split, file name -> text. Paths in the mixture are relative to the mixture file."""
    contents = {
        "narration": {script.name: {"0": narrations(script)} for script in scripts},
        "magqa": [magqa(script) for script in scripts],
        **_grounding_files(split, scripts),
        "metadata": {script.name: _metadata(script) for script in scripts},
        "mixture": _mixture(split),
        "scenes": [_reference(script) for script in scripts],
        "youcook2": [_youcook2(script) for script in scripts],
        "magqa_test": [_magqa_test(script) for script in scripts],
        "proactivevideoqa": [_proactivevideoqa(script) for script in scripts],
        "charades_sta": [item for script in scripts for item in _charades(script)],
        "ovobench": [entry for script in scripts for entry in ovobench(script)],
        "streamingbench": [streamingbench(script) for script in scripts],
    }
    rated = [json.dumps(item) + "\n" for script in scripts for item in _qvhighlights(script)]
    texts = {f"{split}_{name}.json": json.dumps(content, indent=1) for name, content in contents.items()}
    return {**texts, f"{split}_qvhighlights.jsonl": "".join(rated)}


def narrations(script: Script) -> list[dict[str, Any]]:
    """One caption per scene, `REACTION` seconds after its start."""
    rng = script.draw(0)
    return [{"text": str(rng.choice(CONCEPTS[str(shot.concept)].captions)), **_moment(shot)} for shot in script.scenes]


def _moment(shot: Shot) -> dict[str, Any]:
    start = shot.span[0]
    return {"time": start + REACTION, "timespan": [start, start + REACTION]}


def magqa(script: Script) -> dict[str, Any]:
    """A question, at the start or in the first scene, and an answer for each scene that begins after it."""
    rng = script.draw(1)
    first = script.scenes[0].span
    asked = 0.0 if rng.random() < 0.6 else round(float(rng.uniform(first[0] + REACTION, first[1] - 0.5)), 2)
    turns: list[dict[str, Any]] = [{"role": "user", "content": str(rng.choice(QUESTIONS)), "time": asked}]
    for shot in script.scenes:
        if shot.span[0] >= asked:
            answer = str(rng.choice(CONCEPTS[str(shot.concept)].answers))
            turns.append({"role": "assistant", "content": answer, **_moment(shot)})
    return {"video_uid": script.name, "video_start_time": 0, "conversation": turns}


def _spans(script: Script, key: str) -> list[list[float]]:
    return [list(shot.span) for shot in script.scenes if shot.concept == key]


def _queried(script: Script, purpose: int, most: int | None = None) -> list[tuple[str, str]]:
    """(concept, query) for one to `most` of the clip's concepts; None for all of them."""
    rng = script.draw(purpose)
    keys = list(dict.fromkeys(str(shot.concept) for shot in script.scenes))
    chosen = rng.permutation(keys)[: None if most is None else int(rng.integers(1, most + 1))]
    return [(str(key), str(rng.choice(CONCEPTS[str(key)].queries))) for key in chosen]


def groundings(script: Script) -> list[dict[str, Any]]:
    """A query for each concept that the clip shows, with all its spans."""
    return [
        {"video_uid": script.name, "query": query, "timestamps": _spans(script, key)}
        for key, query in _queried(script, 2)
    ]


def _grounding_files(split: str, scripts: list[Script]) -> dict[str, list[dict[str, Any]]]:
    """Queries by file. Those of every second training clip are for 0.5 frames per second.

    The relevance head learns faster from short samples. From short samples alone, it learns that no span is longer than
    5 frames.
    """
    parts = {"grounding": scripts}
    if split == "train":
        parts = {"grounding": scripts[::2], "grounding_sparse": scripts[1::2]}
    return {file: [item for script in part for item in groundings(script)] for file, part in parts.items()}


def _metadata(script: Script) -> dict[str, Any]:
    frames = script.shots[-1].end
    return {"duration": script.duration, "fps": float(RATE), "path": script.name, "frame_count": frames}


def mixed_kinds(split: str) -> list[tuple[str, str, float]]:
    """Return dataset_cls, annotation file and frames per second of each entry of a split's mixture."""
    entries: list[tuple[str, str, float]] = [
        (NARRATION.dataset_cls, "narration", 2),
        (MAGQA.dataset_cls, "magqa", 2),
        (GROUNDING.dataset_cls, "grounding", 2),
    ]
    if split == "train":
        entries.append((GROUNDING.dataset_cls, "grounding_sparse", 0.5))
    return entries


def _mixture(split: str) -> list[dict[str, Any]]:
    return [
        {
            "dataset_cls": name,
            "video_root": f"../videos/{split}",
            "anno_file": f"{split}_{file}.json",
            "metadata_path": f"{split}_metadata.json",
            "frame_fps": fps,
            "max_num_frames": MOST_FRAMES,
        }
        for name, file, fps in mixed_kinds(split)
    ]


def _reference(script: Script) -> dict[str, Any]:
    return {
        "video": script.name,
        "duration": script.duration,
        "scenes": [{"concept": s.concept, "start": s.span[0], "end": s.span[1]} for s in script.scenes],
        "pauses": [list(shot.span) for shot in script.shots if shot.concept is None],
    }


def _query_turns(question: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question, "time": 0}]


def _youcook2(script: Script) -> dict[str, Any]:
    answer = [
        {"content": narration["text"], "time": list(shot.span)}
        for narration, shot in zip(narrations(script), script.scenes, strict=True)
    ]
    return {
        "question_id": script.name, "video": script.name, "conversation": _query_turns(INSTRUCTION), "answer": answer,
    }  # fmt: skip


def _magqa_test(script: Script) -> dict[str, Any]:
    rng = script.draw(3)
    answer = [
        {"content": str(rng.choice(CONCEPTS[str(shot.concept)].answers)), "time": list(shot.span)}
        for shot in script.scenes
    ]
    question = str(rng.choice(QUESTIONS))
    return {"question_id": script.name, "video": script.name, "conversation": _query_turns(question), "answer": answer}


def _proactivevideoqa(script: Script) -> dict[str, Any]:
    """The question and answers of MAGQA's test file. A reply may come up to a second after its scene."""
    item = _magqa_test(script)
    answer = [
        {
            "role": "assistant",
            "content": answer["content"],
            "related_timespan": answer["time"],
            "reply_timespan": [answer["time"][0], min(answer["time"][1] + LATE, script.duration)],
        }
        for answer in item["answer"]
    ]
    return {**item, "answer": answer, "duration": script.duration}


def _charades(script: Script) -> list[dict[str, Any]]:
    """A query about a concept that exactly one scene shows, if the clip has one."""
    for key, query in _queried(script, 4, 1):
        if len(spans := _spans(script, key)) == 1:
            question = f"What segment of the video addresses the topic '{query}'?"
            identity = {"question_id": script.name, "video": script.name}
            return [{**identity, "conversation": _query_turns(question), "timestamps": spans}]
    return []


def _qvhighlights(script: Script) -> list[dict[str, Any]]:
    """Queries with 2-second clips, rated 1 to 4 by the share of each clip that shows the concept."""
    lines = []
    for number, (key, query) in enumerate(_queried(script, 5, 2)):
        shares = _clip_shares(script, key)
        best = shares.max()
        relevant = [int(clip) for clip in np.flatnonzero(shares >= 0.5)]
        lines.append(
            {
                "qid": script.entropy[-1] * 10 + number,
                "query": query,
                "duration": script.duration,
                "vid": script.name.removesuffix(".mp4"),
                "relevant_clip_ids": relevant,
                "saliency_scores": [_ratings(shares[clip] / best) for clip in relevant],
                "relevant_windows": _windows(relevant),
            }
        )  # fmt: skip
    return lines


def _ratings(share: float) -> list[int]:
    """Three raters' scores of a clip, each rater stricter than the previous one.

    share: relative to the query's best clip, so that a perfect prediction scores 100 at every minimum rating.
    """
    return [max(1, round(4 - severity * (1 - share))) for severity in (4, 6, 8)]


def _clip_shares(script: Script, key: str) -> NDArray[np.float64]:
    """[clips]: the share of each complete 2-second clip that shows the concept."""
    starts = np.arange(int(script.duration / QVH_CLIP)) * QVH_CLIP
    return sum(
        (
            np.clip(np.minimum(starts + QVH_CLIP, end) - np.maximum(starts, start), 0, None) / QVH_CLIP
            for start, end in _spans(script, key)
        ),
        np.zeros(len(starts)),
    )


def _windows(clips: list[int]) -> list[list[int]]:
    """Runs of adjacent clips as [start, end] in seconds."""
    runs = np.split(clips, np.flatnonzero(np.diff(clips) > 1) + 1)
    return [[int(run[0]) * 2, int(run[-1]) * 2 + 2] for run in runs if len(run)]
