"""make_world: streams of features for a model whose tower has names, and their annotations."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, Field
from tqdm import tqdm

from mmduet.checkpoints import load_duet
from mmduet.checkpoints.concepts import concept_tower
from mmduet.data.annotations import Whole
from mmduet.data.feature_cache import fingerprint, write_features
from mmduet.data.world.annotations import Words, annotate, annotation_files, scenes_of
from mmduet.data.world.kinds import classes_of
from mmduet.data.world.script import FPS, SPLITS, VERSION, Script, write_script
from mmduet.data.world.stream import Classifier, draw_logits, make_classifier
from mmduet.errors import AnnotationError
from mmduet.files import read_json, validated, write_file, write_json

IMAGENET = 1000  # classes; those after them are imprinted
MAX_STREAMS = 100_000  # of a split: their names have five digits


class _Manifest(BaseModel):
    seed: Annotated[Whole, Field(ge=0)]
    version: Whole
    tower: str
    streams: dict[Literal["train", "val"], Annotated[Whole, Field(ge=0, le=MAX_STREAMS)]]


def make_world(
    root: str | Path, *, model: str | Path = "mini-base", seed: int = 0, train: int = 3200, val: int = 64
) -> Path:
    """Make `root`/world. Existing streams of the same seed and model are kept.

    A stream is a file of features in the place of a video, since its pictures exist only as what a classifier says of
    them (`mmduet.data.FeatureCache`). Streams in which no scene has a sure name, or nothing can be asked for, are left
    out.

    Args:
        root: The folder that holds world/, or gets it.
        model: A model whose tower has names.
        seed: The same seed makes the same streams.
        train: Training streams.
        val: Validation streams.

    Returns:
        The folder `root`/world.

    Raises:
        AnnotationError: The folder was made with another seed, version or model, or an argument is negative or too
            large.
        CheckpointError: The model's tower has no names.
        FileError: The folder cannot be written.
    """
    if min(seed, train, val) < 0:
        raise AnnotationError(f"seed={seed}, train={train}, val={val}: none of these may be negative.")
    if max(train, val) > MAX_STREAMS:
        raise AnnotationError(f"train={train}, val={val}: a split has at most {MAX_STREAMS:,} streams.")
    folder = Path(root) / "world"
    duet, processor = load_duet(model, dtype="float32", device="cpu")  # the precision in which a CPU trains
    tower, made_for = concept_tower(duet), fingerprint(duet, processor)
    stated = {"seed": seed, "version": VERSION, "tower": made_for}
    _check_manifest(folder / "world.json", stated)
    write_json(folder / "world.json", {**stated, "streams": {"train": train, "val": val}})
    classifier = make_classifier(tower, processor, imprinted=IMAGENET)
    words = Words(tower.config.names, classes_of(tower.config.names))
    for split, count in zip(SPLITS, (train, val), strict=True):
        samples = _make_split(folder / "streams" / split, split, count, seed, classifier, words, made_for)
        for name, text in annotation_files(split, samples).items():
            write_file(folder / "annotations" / name, text)
    return folder


def _check_manifest(path: Path, stated: dict[str, Any]) -> None:
    if not os.path.isfile(path):
        return
    found = validated(path, _Manifest, read_json(path))
    for name, value in stated.items():
        if getattr(found, name) != value:
            raise AnnotationError(
                f"{path.parent} was made with {name} {getattr(found, name)}, and this is {value}: give another folder, "
                "or delete this one."
            )


@torch.no_grad()
def _make_split(
    folder: Path, split: str, count: int, seed: int, classifier: Classifier, words: Words, tower: str
) -> list[tuple[Script, Any]]:
    """Write a split's streams; return each one's entry."""
    similarity, samples = classifier.similarity.numpy(), []
    for index in tqdm(range(count), desc=f"world {split}", unit="stream", disable=not count):
        script = write_script(seed, split, index, similarity)
        logits = draw_logits(script, classifier)
        entry = annotate(script, scenes_of(script, logits, classifier), words)
        if entry is None:
            continue
        samples.append((script, entry))
        if not os.path.isfile(folder / script.name):
            features = classifier.tower.read(logits[:, 0], logits[:, 1:]).half()
            write_features(folder / script.name, features, tower, fps=str(FPS))
    return samples
