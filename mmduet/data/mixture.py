"""The mixture: a JSON list of annotated video folders -> a dataset of training conversations.

Each entry is `{dataset_cls, video_root, anno_file, metadata_path, frame_fps?, max_num_frames?}`, as
published. A metadata file that is missing is made by a scan of the videos.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch.utils.data import Dataset

from mmduet.data.annotations import (
    GroundingItem,
    MagqaItem,
    Name,
    Number,
    Whole,
    check_times,
    read_annotations,
)
from mmduet.data.conversations import (
    Clock,
    Conversation,
    grounding_conversation,
    magqa_conversation,
    narration_conversation,
)
from mmduet.data.metadata import Metadata, load_metadata
from mmduet.data.templates import Templates
from mmduet.data.unreadable import BrokenVideos
from mmduet.errors import AnnotationError, DuetError
from mmduet.files import inside, place_of, read_json, validated

KINDS = {
    "DenseVideoCaptioningStreamDataset": "narration",
    "MAGQAStreamDataset": "magqa",
    "GroundingStreamDataset": "grounding",
}
MAX_FPS, MAX_FRAMES = 240, 100_000
ANY_FOLDER = "_"  # stands for the mixture's own folder where a path may go up by one


class MixtureEntry(BaseModel):
    """One annotation file and the videos it speaks of. frame_fps: frames sampled a second."""

    model_config = ConfigDict(extra="forbid")
    dataset_cls: Literal[*KINDS]  # type: ignore[valid-type]
    video_root: Name
    anno_file: Name
    metadata_path: Name
    frame_fps: Annotated[Number, Field(gt=0, le=MAX_FPS)] = 2.0
    max_num_frames: Annotated[Whole, Field(gt=0, le=MAX_FRAMES)] = 128


@dataclass(frozen=True, slots=True)
class Source:
    """One annotation of one video, not yet a conversation."""

    kind: str
    video: Path
    duration: float
    fps: float
    max_frames: int
    annotation: Any  # a list of Narration, a MagqaItem, or a GroundingItem
    entry: str


@dataclass(frozen=True, slots=True)
class Example:
    """A training conversation and where its frames come from. drawn: the epoch and index that it was drawn for."""

    kind: str
    video: Path
    fps: float
    conversation: Conversation
    entry: str
    drawn: tuple[int, int]


class MixtureDataset(Dataset):
    """Training conversations of a mixture file, built when they are asked for.

    `dataset[index]` is a conversation as drawn in epoch 0, `dataset[epoch, index]` in another: the wording and the
    frames before a question are drawn from (seed, epoch, index) alone, so any number of workers draws the same.

    videos: keep the first so many videos, None for all. root: what relative paths of the mixture start from and may
    not leave (the published mixture's: the folder that holds datasets/); None: they start from the mixture's folder
    and stay in the one above, as in NAME/annotations beside NAME/videos. Absolute paths are taken as they are.
    broken: what is done about a video that the metadata does not list, or whose annotations begin past its end.

    Raises AnnotationError for a broken file, a path that leaves its root, or what `broken` stops at.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        seed: int = 0,
        videos: int | None = None,
        root: str | Path | None = None,
        templates: Templates | None = None,
        broken: BrokenVideos | None = None,
    ):
        self.path, self.seed, self.templates = Path(path), seed, templates or Templates()
        self.sources: list[Source] = []
        broken = broken or BrokenVideos()
        for index, entry in enumerate(read_mixture(self.path)):
            paths = _entry_paths(self.path, index, entry, None if root is None else Path(root))
            self.sources += _read_sources(entry, paths, broken)
        if videos is not None:
            kept = set(list(dict.fromkeys(source.video for source in self.sources))[:videos])
            self.sources = [source for source in self.sources if source.video in kept]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, key: int | tuple[int, int]) -> Example:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        source = self.sources[index]
        rng = Random(f"{self.seed}/{epoch}/{index}")
        try:
            conversation = _converse(source, Clock(source.fps, source.duration), rng, self.templates)
        except DuetError as error:
            raise AnnotationError(f"{self.path}: entry {source.entry}: {error}") from error
        return Example(source.kind, source.video, source.fps, conversation, source.entry, (epoch, index))

    def lengths(self) -> list[int]:
        """Frames of each conversation as drawn in epoch 0."""
        return [self[index].conversation.frames for index in range(len(self))]

    def check_videos(self, broken: BrokenVideos) -> None:
        """See that every video is there; one that is not goes to `broken`."""
        first = {source.video: source.entry for source in reversed(self.sources)}
        for video, entry in first.items():
            if not os.path.isfile(video):
                error = f"{self.path}: entry {entry} is about {video}, which does not exist: check the mixture's "
                broken.add(video, AnnotationError(error + "video_root, get the video, or remove the entry."))

    def leave_out(self, videos: Collection[Path]) -> None:
        """Drop the conversations about these videos."""
        self.sources = [source for source in self.sources if source.video not in videos]


def _converse(source: Source, clock: Clock, rng: Random, templates: Templates) -> Conversation:
    limit = source.max_frames
    match source.annotation:
        case MagqaItem() as item:
            return magqa_conversation(item, clock, rng=rng, max_frames=limit)
        case GroundingItem() as item:
            return grounding_conversation(item, clock, template=rng.choice(templates.grounding), max_frames=limit)
        case narrations:
            instruction = rng.choice(templates.narration)
            return narration_conversation(narrations, clock, instruction=instruction, max_frames=limit)


def read_mixture(path: Path) -> list[MixtureEntry]:
    """The entries of a mixture file; AnnotationError names the first that is wrong."""
    return validated(path, list[MixtureEntry], read_json(path))


@dataclass(frozen=True, slots=True)
class _EntryPaths:
    video_root: Path
    anno_file: Path
    metadata_path: Path


def _entry_paths(mixture: Path, index: int, entry: MixtureEntry, root: Path | None) -> _EntryPaths:
    """The entry's paths; AnnotationError for a relative one that leads out of its root."""
    start, limit = (root, root) if root is not None else (mixture.parent, mixture.parent / "..")
    found = {}
    for name in _EntryPaths.__slots__:
        text = getattr(entry, name)
        within = text if root is not None else f"{ANY_FOLDER}/{text}"
        if not Path(text).is_absolute() and inside(limit, within) is None:
            raise AnnotationError(
                f"{mixture}: entry {index}, {name} {text!r} leads out of {limit.resolve()}: move the files there, or "
                "give another root."
            )
        found[name] = start / text
    return _EntryPaths(**found)


def _read_sources(entry: MixtureEntry, paths: _EntryPaths, broken: BrokenVideos) -> list[Source]:
    kind, path = KINDS[entry.dataset_cls], paths.anno_file
    annotations = read_annotations(path, kind)
    metadata = load_metadata(paths.video_root, paths.metadata_path)
    sources = []
    for name, key, annotation in _entries(kind, annotations):
        video = inside(paths.video_root, name)
        if video is None:
            raise AnnotationError(
                f"{path}: entry {key} is about {name!r}, which leads out of {paths.video_root}: name a file in it."
            )
        if name not in metadata.videos:
            broken.add(video, _unlisted(path, key, name, paths.metadata_path, metadata))
            continue
        duration = metadata.videos[name].duration
        try:
            check_times(path, key, _starts(annotation), duration)
        except AnnotationError as error:
            broken.add(video, error)
            continue
        sources.append(
            Source(kind, video, duration, entry.frame_fps, entry.max_num_frames, annotation, f"{path.name}:{key}")
        )
    return sources


def _unlisted(path: Path, key: str, name: str, metadata_path: Path, metadata: Metadata) -> AnnotationError:
    about = f"{path}: entry {key} is about {name!r}, which"
    if name in metadata.broken:
        return AnnotationError(f"{about} cannot be used: {metadata.broken[name]}")
    return AnnotationError(
        f"{about} {metadata_path.name} does not list: make the metadata anew (`mmduet scan`), or remove the entry."
    )


def _entries(kind: str, annotations):
    """(video, name of the entry, annotation) of each."""
    if kind == "narration":
        for video, by_id in annotations.items():
            for key, narrations in by_id.items():
                yield video, place_of([f"{video}/{key}"]), narrations
    else:
        for index, item in enumerate(annotations):
            yield item.video_uid, f"{index} ({place_of([item.video_uid])})", item


def _starts(annotation) -> dict[str, float]:
    """When each thing begins that an annotation speaks of; what ends past the video's end is clipped, as published."""
    match annotation:
        case MagqaItem():
            turns = enumerate(annotation.conversation)
            return {f"turn {i} start": turn.timespan[0] if turn.timespan else turn.time for i, turn in turns}
        case GroundingItem():
            return {f"timestamps[{i}] start": start for i, (start, _) in enumerate(annotation.timestamps)}
        case _:
            return {f"narration {i} start": item.timespan[0] for i, item in enumerate(annotation)}
