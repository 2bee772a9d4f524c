"""Streams of `world`: a script -> the classifier's logits of each frame, as real pictures would give them.

No picture is needed: what a classifier says of a picture of some class is drawn. Its logits are high for the class and
those alike, and the rest is noise with the classifier's own correlations, of which a part stays within a scene.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional as F

from mmduet.data.world.script import Script, Shot
from mmduet.model.processing import DuetProcessor
from mmduet.vision.concepts import ConceptTower

CELLS = 9  # drawn of a frame; a real one has 49
HALVES = 0.4  # share of the cuts at which a frame shows both scenes
SECOND = 0.3  # share of the scenes with something else in view
KNOWN, IMPRINTED = (6.0, 12.5), (12.0, 15.0)  # logits of a class's own pictures: ImageNet's, and imprinted ones
PAUSES = 150  # pictures of nothing


@dataclass
class Classifier:
    """What streams are drawn from.

    Attributes:
        tower: A tower with names.
        imprinted: From this class on, rows are imprinted.
        pauses: Of pictures of nothing, logits of the whole and of each cell: [P, 1 + cells, classes].
    """

    tower: ConceptTower
    imprinted: int
    pauses: torch.Tensor

    @cached_property
    def rows(self) -> torch.Tensor:
        """The classifier's rows less their mean, [classes, D]."""
        weight = self.tower.classifier.weight.detach().float()
        return weight - weight.mean(0)

    @cached_property
    def similarity(self) -> torch.Tensor:
        """Cosines of the rows, [classes, classes]."""
        rows = F.normalize(self.rows, dim=1)
        return rows @ rows.T

    @cached_property
    def deviation(self) -> float:
        """Of a normal feature's logits, over all classes."""
        return float(self.rows.square().sum(1).mean().sqrt())

    def noise(self, generator: torch.Generator, *shape: int) -> torch.Tensor:
        """Logits of normal features, [..., classes], of deviation 1."""
        return torch.randn(*shape, self.rows.shape[1], generator=generator) @ self.rows.T / self.deviation


@torch.no_grad()
def make_classifier(tower: ConceptTower, processor: DuetProcessor, *, imprinted: int, seed: int = 0) -> Classifier:
    """Prepare what streams are drawn from: pauses are seen by the tower itself."""
    rng = np.random.default_rng([seed, PAUSES])
    pictures = torch.stack([_nothing(rng) for _ in range(PAUSES)])
    found = []
    for part in pictures.split(6):
        cells = tower.network(processor.pixel_values(part)).float()
        found.append(tower.logits(torch.cat([cells.mean(1, keepdim=True), cells], 1)))
    return Classifier(tower, imprinted, torch.cat(found))


def _nothing(rng: np.random.Generator) -> torch.Tensor:
    """A wall, blobs or noise, uint8 [3, 224, 224]."""
    level, tint = rng.uniform(20, 230), rng.uniform(0.85, 1.15, 3)[:, None, None]
    x, y = np.linspace(-0.5, 0.5, 224)[None, :], np.linspace(-0.5, 0.5, 224)[:, None]
    slope = rng.uniform(-0.5, 0.5, 2)
    light = 1 + slope[0] * x + slope[1] * y
    kind = rng.integers(4)
    if kind == 1:  # blobs
        coarse = torch.from_numpy(rng.normal(0, 0.25, (1, 1, *rng.integers(2, 6, 2))))
        light = light + F.interpolate(coarse, (224, 224), mode="bicubic")[0, 0].numpy()
    if kind == 2:  # a sensor's noise
        light = light + rng.normal(0, rng.uniform(0.01, 0.12), (224, 224))
    picture = np.clip(level * tint * light[None], 0, 255)
    return torch.from_numpy(picture.astype(np.uint8))


@torch.no_grad()
def draw_logits(script: Script, classifier: Classifier) -> torch.Tensor:
    """Draw a stream: [frames, 1 + CELLS, classes], the logits of each whole frame and of its cells."""
    rng = script.draw(0)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    parts = [_draw_shot(shot, classifier, rng, generator) for shot in script.shots]
    for before, after in itertools.pairwise(parts):
        if rng.random() < HALVES:
            after[0] = (before[-1] + after[0]) / 2
    return torch.cat(parts)


def _draw_shot(
    shot: Shot, classifier: Classifier, rng: np.random.Generator, generator: torch.Generator
) -> torch.Tensor:
    frames = shot.end - shot.start
    if shot.thing is None:
        picture = classifier.pauses[int(rng.integers(PAUSES))]
        cells = rng.choice(len(picture) - 1, CELLS, replace=False) + 1
        kept = torch.cat([picture[:1], picture[torch.from_numpy(cells)]])
        return kept + 0.1 * classifier.noise(generator, frames, 1 + CELLS)
    strength = float(rng.uniform(*(IMPRINTED if shot.thing >= classifier.imprinted else KNOWN)))
    shown = strength * classifier.similarity[shot.thing]
    beside = classifier.similarity[int(rng.integers(len(classifier.similarity)))]
    second = float(rng.uniform(0.3, 0.8)) * strength * beside if rng.random() < SECOND else torch.zeros_like(shown)
    noise = _frame_noise(frames, classifier, generator) * float(rng.uniform(0.8, 1.6))
    bias = classifier.tower.classifier.bias.detach().float()
    whole = bias + shown + second + noise
    return torch.cat([whole[:, None], _cells(whole, shown, beside, bias, classifier, rng, generator)], 1)


def _frame_noise(frames: int, classifier: Classifier, generator: torch.Generator) -> torch.Tensor:
    """[frames, classes], of deviation 1: one part stays, one drifts, one is each frame's own."""
    own = classifier.noise(generator, frames)
    still, first, last = classifier.noise(generator, 3)
    way = torch.linspace(0, torch.pi / 2, frames)[:, None]
    drift = way.cos() * first + way.sin() * last
    return 0.6**0.5 * still + 0.3**0.5 * drift + 0.1**0.5 * own


def _cells(
    whole: torch.Tensor,
    shown: torch.Tensor,
    beside: torch.Tensor,
    bias: torch.Tensor,
    classifier: Classifier,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> torch.Tensor:
    """[frames, CELLS, classes]: cells that show the thing, and cells that show what is beside it."""
    frames = len(whole)
    noise = classifier.noise(generator, frames, CELLS) * float(rng.uniform(1.0, 2.0))
    inside = torch.rand(frames, CELLS, 1, generator=generator) < float(rng.uniform(0.35, 1.0))
    near = (whole[:, None] - bias) * (0.7 + 0.5 * torch.rand(frames, CELLS, 1, generator=generator))
    far = float(rng.uniform(2, 7)) * beside + 0.2 * shown
    return bias + torch.where(inside, near, far) + noise * torch.where(inside, 0.6, 1.0)
