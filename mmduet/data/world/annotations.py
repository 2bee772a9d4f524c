"""Annotations of `world`: a stream's logits -> one training sample of it.

What a scene is called is what the classifier says of it as a whole, right or wrong: the model learns to read, and not
to guess. Of a scene of which the classifier is not sure, nothing is said.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmduet.data.kinds import ALERT, GROUNDING, MAGQA, NARRATION
from mmduet.data.scenes.annotations import mixed_kinds
from mmduet.data.world.kinds import with_article
from mmduet.data.world.script import FPS, LONGEST, Script
from mmduet.data.world.stream import Classifier

SURE = 0.45  # the least mean probability of a scene's name
ABSENT = 0.05  # the greatest probability of what is said not to be there
REACTION = 1.5  # s between a scene's start and what is said of it
SHARES = {NARRATION.name: 0.4, MAGQA.name: 0.1, ALERT.name: 0.25, GROUNDING.name: 0.25}
BY_KIND = 1 / 3  # share of the queries
NEVER = 0.4  # share of the alerts
CAPTIONS = (
    "{A}.", "There is {a}.", "{A} comes into view.", "Now {a}.", "I see {a}.", "This is {a}.", "{A} is in view.",
)  # fmt: skip
QUESTIONS = (
    "What comes into view?", "Tell me what appears, whenever something new does.", "What can you see from now on?",
    "Name each thing as it shows up.", "What is that, and what comes after it?", "What is this?",
)  # fmt: skip
QUERIES = ("{a}", "{a} in view", "the {n}")
REPLIES = ("There is {a}.", "Now there is {a}.", "I see {a}.", "{A} is in view.")


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene of a stream. thing: the class that it is called; None where the classifier is not sure."""

    thing: int | None
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Words:
    """The names of the classes, and the classes of each kind."""

    names: Sequence[str]
    kinds: Mapping[str, tuple[int, ...]]


def scenes_of(script: Script, logits: torch.Tensor, classifier: Classifier) -> tuple[list[Scene], torch.Tensor]:
    """Return the scenes of a stream, and the greatest probability of each class in any of them, [classes]."""
    chances = classifier.tower.probabilities(logits[:, 0])
    scenes, seen = [], torch.zeros(chances.shape[1])
    for shot in script.shots:
        mean = chances[shot.start : shot.end].mean(0)
        seen = torch.maximum(seen, mean)
        best = int(mean.argmax())
        if shot.thing is not None:
            thing = best if float(mean[best]) >= SURE else None
            scenes.append(Scene(thing, shot.start / FPS, shot.end / FPS))
    return scenes, seen


def annotate(script: Script, scenes: Sequence[Scene], seen: torch.Tensor, words: Words) -> tuple[str, Any] | None:
    """Return the kind of a stream's sample and its entry; None where no scene has a name.

    Args:
        script: The stream.
        scenes: Its scenes.
        seen: As `scenes_of` returns it.
        words: The names.
    """
    rng = script.draw(1)
    named = [scene for scene in scenes if scene.thing is not None]
    if not named:
        return None
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    if kind == NARRATION.name:
        return kind, [{"text": _say(rng, CAPTIONS, scene, words), **_moment(scene.start)} for scene in named]
    if kind == MAGQA.name:
        return kind, _magqa(script, named, words, rng)
    name, spans = _query(named, seen, words, rng, may_be_absent=kind == ALERT.name)
    entry = {"video_uid": script.name, "timestamps": spans}
    if kind == GROUNDING.name:
        return kind, {**entry, "query": _fill(str(rng.choice(QUERIES)), name)}
    return kind, {**entry, "query": with_article(name), "reply": _fill(str(rng.choice(REPLIES)), name)}


def _magqa(script: Script, named: Sequence[Scene], words: Words, rng: np.random.Generator) -> dict[str, Any]:
    """A question at some time, and an answer for the scene that is in view then and for each that comes later."""
    asked = round(float(rng.uniform(0, named[-1].end - REACTION)), 2)
    turns = [{"role": "user", "content": str(rng.choice(QUESTIONS)), "time": asked}]
    for scene in named:
        start = asked if scene.start + REACTION < asked < scene.end - REACTION else scene.start
        if start >= asked:
            turns.append({"role": "assistant", "content": _say(rng, CAPTIONS, scene, words), **_moment(start)})
    return {"video_uid": script.name, "video_start_time": 0, "conversation": turns}


def _query(
    named: Sequence[Scene], seen: torch.Tensor, words: Words, rng: np.random.Generator, *, may_be_absent: bool
) -> tuple[str, list[list[float]]]:
    """A name or a kind to look for, and where it is in view."""
    kinds = {kind: set(members) for kind, members in words.kinds.items()}
    by_kind = rng.random() < BY_KIND
    if may_be_absent and rng.random() < NEVER:
        if by_kind:
            away = [kind for kind, members in kinds.items() if float(seen[list(members)].max()) < ABSENT]
            return str(rng.choice(away)), []
        away_things = (seen < ABSENT).nonzero().flatten().numpy()
        return words.names[int(rng.choice(away_things))], []
    things = [scene.thing for scene in named if scene.thing is not None]
    found = [kind for kind, members in kinds.items() if members & set(things)]
    if by_kind and found:
        name = str(rng.choice(found))
        wanted = kinds[name]
    else:
        thing = things[int(rng.integers(len(things)))]
        name, wanted = words.names[thing], {thing}
    return name, [[scene.start, scene.end] for scene in named if scene.thing in wanted]


def _moment(start: float) -> dict[str, Any]:
    """When something is said of what has been in view from `start` on."""
    return {"time": start + REACTION, "timespan": [start, start + REACTION]}


def _say(rng: np.random.Generator, templates: Sequence[str], scene: Scene, words: Words) -> str:
    assert scene.thing is not None
    return _fill(str(rng.choice(templates)), words.names[scene.thing])


def _fill(template: str, name: str) -> str:
    """{a}: the name with an article; {A}: the same with a capital; {n}: the name alone."""
    named = with_article(name)
    return template.replace("{A}", named[0].upper() + named[1:]).replace("{a}", named).replace("{n}", name)


def annotation_files(split: str, samples: Sequence[tuple[Script, str, Any]]) -> dict[str, str]:
    """Return the annotation files of a split, file name -> text.

    The mixture `with_scenes` holds `scenes` as well: its paths start from the folder that holds both.
    """
    contents: dict[str, Any] = {
        kind.name: [entry for _, found, entry in samples if found == kind.name] for kind in (MAGQA, ALERT, GROUNDING)
    }
    contents[NARRATION.name] = {
        script.name: {"0": entry} for script, found, entry in samples if found == NARRATION.name
    }
    contents["metadata"] = {
        script.name: {"duration": script.duration, "fps": FPS, "path": script.name, "frame_count": script.frames}
        for script, _, _ in samples
    }
    own = [(kind.dataset_cls, kind.name, FPS) for kind in (NARRATION, MAGQA, ALERT, GROUNDING)]
    contents["mixture"] = _mixed(own, f"../streams/{split}", f"{split}_")
    contents["with_scenes"] = [
        *_mixed(own, f"world/streams/{split}", f"world/annotations/{split}_"),
        *_mixed(mixed_kinds(split), f"scenes/videos/{split}", f"scenes/annotations/{split}_"),
    ]
    return {f"{split}_{name}.json": json.dumps(content, indent=1) for name, content in contents.items()}


def _mixed(kinds: Sequence[tuple[str, str, float]], videos: str, files: str) -> list[dict[str, Any]]:
    """Entries of a mixture file.

    kinds: dataset_cls, file and frames per second of each; files: what precedes a file's name.
    """
    return [
        {
            "dataset_cls": name,
            "video_root": videos,
            "anno_file": f"{files}{file}.json",
            "metadata_path": f"{files}metadata.json",
            "frame_fps": fps,
            "max_num_frames": LONGEST,
        }
        for name, file, fps in kinds
    ]
