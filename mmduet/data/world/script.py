"""Script: what a stream of `world` shows, drawn from its seed.

Stream n of a split depends on (seed, split, n) alone: more streams never change existing ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VERSION = 3  # goes up when the same seed makes other streams
SPLITS = ("train", "val")
FPS = 2.0
SHARES = {"narration": 0.3, "magqa": 0.1, "alert": 0.35, "grounding": 0.25}  # of the streams, by annotation kind
LONGEST = 32  # frames of a stream
# frames of a stream, at least and at most: one query needs fewer than a narration, and is learnt sooner from many
LENGTHS = {"narration": (20, LONGEST), "magqa": (20, LONGEST), "alert": (14, 24), "grounding": (14, 24)}
PAUSE = 0.3  # share of the scenes that a pause precedes
ALIKE = 0.1  # share of the scenes that show what is easily taken for the scene before
NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class Shot:
    """Frames start … end - 1 of a stream. thing: the class that it shows; None in a pause."""

    thing: int | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Script:
    """What a stream shows, the annotation kind of its sample, and the seed of everything else that is drawn for it."""

    name: str
    kind: str
    shots: tuple[Shot, ...]
    entropy: tuple[int, ...]

    @property
    def frames(self) -> int:
        """The frames of the stream."""
        return self.shots[-1].end

    @property
    def duration(self) -> float:
        """The stream's duration in seconds."""
        return self.frames / FPS

    def draw(self, purpose: int) -> np.random.Generator:
        """A separate generator for each purpose, so that changing one leaves the others unchanged."""
        return np.random.default_rng([*self.entropy, purpose])


def write_script(seed: int, split: str, index: int, similarity: NDArray[np.float32]) -> Script:
    """Stream `index` of a split: 7 to 16 s of scenes of 2.5 to 6 s, with pauses of 2 to 4 s.

    similarity: [classes, classes], how alike the classifier sees two classes.
    """
    entropy = (VERSION, seed, SPLITS.index(split), index)
    rng = np.random.default_rng(entropy)
    shots: list[Shot] = []
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    least, most = LENGTHS[kind]
    now, length, previous = 0, int(rng.integers(least, most + 1)), None
    while length - now >= 5:
        if rng.random() < PAUSE:
            now = _append(shots, None, now, min(int(rng.integers(4, 9)), length - now))
        if length - now >= 5:
            thing = int(rng.integers(len(similarity)))
            if previous is not None and rng.random() < ALIKE:
                thing = int(rng.choice(np.argsort(similarity[previous])[-NEIGHBOURS - 1 : -1]))
            if thing == previous:
                continue
            now = _append(shots, thing, now, min(int(rng.integers(5, 13)), length - now))
            previous = thing
    return Script(f"{split}_{index:05d}.safetensors", kind, tuple(shots), entropy)


def _append(shots: list[Shot], thing: int | None, start: int, frames: int) -> int:
    shots.append(Shot(thing, start, start + frames))
    return start + frames
