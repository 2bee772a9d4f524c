"""Script: what a clip of `scenes` shows, drawn from its seed.

Clip n of a split depends on (seed, split, n) alone: more clips never change existing ones.
"""

from dataclasses import dataclass

import numpy as np

from mmduet.data.scenes.concepts import CONCEPTS

VERSION = 3  # goes up when the same seed makes other clips
SPLITS = ("train", "val", "test")
RATE = 12  # frames per second
STEP = RATE // 2  # source frames between two moments at which a scene may begin


@dataclass(frozen=True, slots=True)
class Shot:
    """Source frames start … end - 1 of a clip.

    Attributes:
        concept: The key of what it shows; None in a pause.
        start: The first frame.
        end: The frame after the last one.
        fade: Frames of the cross-fade into it.
    """

    concept: str | None
    start: int
    end: int
    fade: int

    @property
    def span(self) -> tuple[float, float]:
        """Start and end in seconds; a cross-fade counts by its middle."""
        return self.start / RATE, self.end / RATE


@dataclass(frozen=True, slots=True)
class Script:
    """What a clip shows, and the seed of everything else that is drawn for it."""

    name: str
    shots: tuple[Shot, ...]
    entropy: tuple[int, ...]

    @property
    def duration(self) -> float:
        """The clip's duration in seconds."""
        return self.shots[-1].end / RATE

    @property
    def scenes(self) -> list[Shot]:
        """The shots that show a concept."""
        return [shot for shot in self.shots if shot.concept]

    def draw(self, purpose: int) -> np.random.Generator:
        """A separate generator for each purpose, so that changing one leaves the others unchanged."""
        return np.random.default_rng([*self.entropy, purpose])


def write_script(seed: int, split: str, index: int) -> Script:
    """Clip `index` of a split: 10 to 40 s of scenes of 3 to 10 s, with pauses of 2 to 5 s."""
    entropy = (VERSION, seed, SPLITS.index(split), index)
    rng = np.random.default_rng(entropy)
    concepts = _draw_concepts(rng, int(rng.integers(2, 6)))
    lengths = rng.integers(6, 21, len(concepts))  # half seconds
    while not 20 <= lengths.sum() <= 72:
        lengths = rng.integers(6, 21, len(concepts))
    shots: list[Shot] = []
    now, left = 0, 80 - int(lengths.sum())
    for concept, length in zip(concepts, lengths, strict=True):
        if left >= 4 and rng.random() < 0.3:
            pause = int(rng.integers(4, min(10, left) + 1))
            left -= pause
            shots.append(_shot(rng, None, now, pause))
            now = shots[-1].end
        shots.append(_shot(rng, concept, now, int(length)))
        now = shots[-1].end
    return Script(f"{split}_{index:05d}.mp4", tuple(shots), entropy)


def _draw_concepts(rng: np.random.Generator, count: int) -> list[str]:
    """Concepts to show: most of them once, sometimes one again, never twice in a row."""
    keys = list(rng.permutation(list(CONCEPTS))[:count])
    if count >= 3 and rng.random() < 0.25:
        keys[-1] = keys[0]
    return [str(key) for key in keys]


def _shot(rng: np.random.Generator, concept: str | None, start: int, half_seconds: int) -> Shot:
    fade = int(rng.integers(4, 10)) if start and rng.random() < 0.4 else 0
    return Shot(concept, start, start + half_seconds * STEP, fade)
