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
from mmduet.data.scenes.annotations import MOST_FRAMES, REACTION, mixed_kinds
from mmduet.data.world.kinds import with_article
from mmduet.data.world.script import FPS, LONGEST, Script
from mmduet.data.world.stream import Classifier

SURE = 0.55  # the least mean probability of a scene's name
# what is waited or searched for, a class or a kind, is in view from this total probability on, and away up to that one:
# a classifier of real pictures is often wrong about the first class, and seldom about the first few
SHOWN, AWAY = 0.15, 0.04
BY_KIND = 0.45  # share of the queries
NEVER = 0.4  # share of the alerts
HARD, NEAR = 0.5, 50  # share of the absent names that are hard negatives: of a scene's NEAR likeliest classes
TRIES = 20  # to find a query of which every scene either is or is not
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
    """A scene of a stream.

    Attributes:
        thing: The class that it is called; None where the classifier is not sure.
        start: In seconds, and so is end.
        chances: The mean probability of each class, [classes].
    """

    thing: int | None
    start: float
    end: float
    chances: torch.Tensor

    def shows(self, classes: Sequence[int]) -> float:
        """The probability that it shows one of these classes."""
        return float(self.chances[list(classes)].sum())


@dataclass(frozen=True, slots=True)
class Words:
    """The names of the classes, and the classes of each kind."""

    names: Sequence[str]
    kinds: Mapping[str, tuple[int, ...]]


def scenes_of(script: Script, logits: torch.Tensor, classifier: Classifier) -> list[Scene]:
    """Return the scenes of a stream, as the classifier sees them."""
    chances = classifier.tower.probabilities(logits[:, 0])
    scenes = []
    for shot in script.shots:
        if shot.thing is not None:
            mean = chances[shot.start : shot.end].mean(0)
            best = int(mean.argmax())
            thing = best if float(mean[best]) >= SURE else None
            scenes.append(Scene(thing, shot.start / FPS, shot.end / FPS, mean))
    return scenes


def annotate(script: Script, scenes: Sequence[Scene], words: Words) -> Any:
    """Return the entry of a stream's sample; None where no scene has a name, or nothing can be asked for.

    Args:
        script: The stream.
        scenes: Its scenes.
        words: The names.
    """
    rng = script.draw(1)
    named = [scene for scene in scenes if scene.thing is not None]
    if not named:
        return None
    if script.kind == NARRATION.name:
        return [{"text": _say(rng, CAPTIONS, scene, words), **_moment(scene.start)} for scene in named]
    if script.kind == MAGQA.name:
        return _magqa(script, named, words, rng)
    away = script.kind == ALERT.name and rng.random() < NEVER
    query = _query(scenes, words, rng, away=away)
    if query is None:
        return None
    name, spans = query
    entry = {"video_uid": script.name, "timestamps": spans}
    if script.kind == GROUNDING.name:
        return {**entry, "query": _fill(str(rng.choice(QUERIES)), name)}
    return {**entry, "query": with_article(name), "reply": _fill(str(rng.choice(REPLIES)), name)}


def _magqa(script: Script, named: Sequence[Scene], words: Words, rng: np.random.Generator) -> dict[str, Any]:
    """A question at some time, and an answer for the scene that is in view then and for each that comes later."""
    asked = round(float(rng.uniform(0, named[-1].end - REACTION)), 2)
    turns = [{"role": "user", "content": str(rng.choice(QUESTIONS)), "time": asked}]
    for scene in named:
        start = asked if scene.start < asked <= scene.end - REACTION else scene.start
        if start >= asked:
            turns.append({"role": "assistant", "content": _say(rng, CAPTIONS, scene, words), **_moment(start)})
    return {"video_uid": script.name, "video_start_time": 0, "conversation": turns}


def _query(
    scenes: Sequence[Scene], words: Words, rng: np.random.Generator, *, away: bool
) -> tuple[str, list[list[float]]] | None:
    """A name or a kind that is in view, or is not, and where it is in view; None if none is found.

    In no scene it is doubtful. A kind may be in view where the classifier is not sure of the name: a dog of some breed.
    """
    for _ in range(TRIES):
        name, classes = _candidate(scenes, words, rng, away=away)
        chances = [scene.shows(classes) for scene in scenes]
        doubtful = any(AWAY < chance < SHOWN for chance in chances)
        if not doubtful and (max(chances) >= SHOWN) != away:
            seen = [scene for scene, chance in zip(scenes, chances, strict=True) if chance >= SHOWN]
            return name, [[scene.start, scene.end] for scene in seen]
    return None


def _candidate(
    scenes: Sequence[Scene], words: Words, rng: np.random.Generator, *, away: bool
) -> tuple[str, Sequence[int]]:
    """A name or kind that a scene may show, or any other; and its classes."""
    chances = scenes[int(rng.integers(len(scenes)))].chances
    best = int(chances.argmax())
    if rng.random() < BY_KIND:
        kinds = [kind for kind, members in words.kinds.items() if away or best in members]
        if kinds:
            kind = str(rng.choice(kinds))
            return kind, words.kinds[kind]
    if away:
        others = chances.argsort(descending=True)[:NEAR] if rng.random() < HARD else torch.arange(len(chances))
        best = int(others[int(rng.integers(len(others)))])
    name = words.names[best]
    return name, [number for number, other in enumerate(words.names) if other == name]


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


def annotation_files(split: str, samples: Sequence[tuple[Script, Any]]) -> dict[str, str]:
    """Return the annotation files of a split, file name -> text.

    The mixture `with_scenes` holds `scenes` as well: its paths start from the folder that holds both.
    """
    contents: dict[str, Any] = {
        kind.name: [entry for script, entry in samples if script.kind == kind.name]
        for kind in (MAGQA, ALERT, GROUNDING)
    }
    contents[NARRATION.name] = {script.name: {"0": entry} for script, entry in samples if script.kind == NARRATION.name}
    contents["metadata"] = {
        script.name: {"duration": script.duration, "fps": FPS, "path": script.name, "frame_count": script.frames}
        for script, _ in samples
    }
    own = [(kind.dataset_cls, kind.name, FPS) for kind in (NARRATION, MAGQA, ALERT, GROUNDING)]
    contents["mixture"] = _mixed(own, f"../streams/{split}", f"{split}_")
    contents["with_scenes"] = [
        *_mixed(own, f"world/streams/{split}", f"world/annotations/{split}_"),
        *_mixed(mixed_kinds(split), f"scenes/videos/{split}", f"scenes/annotations/{split}_", longest=MOST_FRAMES),
    ]
    return {f"{split}_{name}.json": json.dumps(content, indent=1) for name, content in contents.items()}


def _mixed(
    kinds: Sequence[tuple[str, str, float]], videos: str, files: str, longest: int = LONGEST
) -> list[dict[str, Any]]:
    """Entries of a mixture file.

    kinds: dataset_cls, file and frames per second of each; files: what precedes a file's name; longest: in frames.
    """
    return [
        {
            "dataset_cls": name,
            "video_root": videos,
            "anno_file": f"{files}{file}.json",
            "metadata_path": f"{files}metadata.json",
            "frame_fps": fps,
            "max_num_frames": longest,
        }
        for name, file, fps in kinds
    ]
