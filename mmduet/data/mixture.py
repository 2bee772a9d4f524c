"""The mixture: a JSON list of annotated video folders -> a dataset of training conversations.

Each entry is `{dataset_cls, video_root, anno_file, metadata_path, frame_fps?, max_num_frames?}`, as
published. Relative paths are taken from the mixture file's folder.
"""

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch.utils.data import Dataset

from mmduet.data.annotations import (
    GroundingItem,
    MagqaItem,
    check_times,
    read_annotations,
    read_json,
    validated,
)
from mmduet.data.conversations import (
    GROUNDING_TEMPLATES,
    NARRATION_INSTRUCTIONS,
    Clock,
    Conversation,
    grounding_conversation,
    magqa_conversation,
    narration_conversation,
)
from mmduet.errors import AnnotationError

KINDS = {
    "DenseVideoCaptioningStreamDataset": "narration",
    "MAGQAStreamDataset": "magqa",
    "GroundingStreamDataset": "grounding",
}


class MixtureEntry(BaseModel):
    """One annotation file and the videos it speaks of. frame_fps: frames sampled a second."""

    model_config = ConfigDict(extra="forbid")
    dataset_cls: Literal[*KINDS]  # type: ignore[valid-type]
    video_root: str
    anno_file: str
    metadata_path: str
    frame_fps: float = Field(2.0, gt=0)
    max_num_frames: int = Field(128, gt=0)


class VideoInfo(BaseModel):
    """What the cached metadata JSON holds of a video. duration: s."""

    duration: float = Field(gt=0)
    path: str | None = None
    fps: float | None = None
    frame_count: int | None = None


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
    """A training conversation and where its frames come from."""

    kind: str
    video: Path
    fps: float
    conversation: Conversation
    entry: str


class MixtureDataset(Dataset):
    """Training conversations of a mixture file.

    The wording and the frames before a question are drawn from (seed, epoch, index): the same on any
    number of workers. Set `epoch` for the next draw. videos: keep the first so many videos, None for all.

    Raises AnnotationError for a broken file, a video without metadata, or a time past a video's end.
    """

    def __init__(self, path: str | Path, *, seed: int = 0, videos: int | None = None):
        self.path, self.seed, self.epoch = Path(path), seed, 0
        entries = read_mixture(self.path)
        self.sources = [source for entry in entries for source in _read_sources(entry, self.path.parent)]
        if videos is not None:
            kept = set(list(dict.fromkeys(source.video for source in self.sources))[:videos])
            self.sources = [source for source in self.sources if source.video in kept]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> Example:
        source = self.sources[index]
        rng = Random(f"{self.seed}/{self.epoch}/{index}")
        clock = Clock(source.fps, source.duration)
        return Example(source.kind, source.video, source.fps, _converse(source, clock, rng), source.entry)

    def lengths(self) -> list[int]:
        """Frames of each conversation as drawn now."""
        return [self[index].conversation.frames for index in range(len(self))]


def _converse(source: Source, clock: Clock, rng: Random) -> Conversation:
    limit = source.max_frames
    match source.annotation:
        case MagqaItem() as item:
            return magqa_conversation(item, clock, rng=rng, max_frames=limit)
        case GroundingItem() as item:
            return grounding_conversation(item, clock, template=rng.choice(GROUNDING_TEMPLATES), max_frames=limit)
        case narrations:
            instruction = rng.choice(NARRATION_INSTRUCTIONS)
            return narration_conversation(narrations, clock, instruction=instruction, max_frames=limit)


def read_mixture(path: Path) -> list[MixtureEntry]:
    """The entries of a mixture file; AnnotationError names the first that is wrong."""
    return validated(path, list[MixtureEntry], read_json(path))


def _read_sources(entry: MixtureEntry, folder: Path) -> list[Source]:
    kind, path = KINDS[entry.dataset_cls], folder / entry.anno_file
    metadata_path = folder / entry.metadata_path
    metadata = validated(metadata_path, dict[str, VideoInfo], read_json(metadata_path))
    annotations = read_annotations(path, kind)
    sources = []
    for video, name, annotation in _entries(kind, annotations):
        if video not in metadata:
            raise AnnotationError(
                f"{path}: entry {name} is about {video!r}, which {entry.metadata_path} does not list; "
                "make the metadata anew from the video folder, or remove the entry."
            )
        duration = metadata[video].duration
        check_times(path, name, _times(annotation), duration)
        sources.append(
            Source(kind, folder / entry.video_root / video, duration, entry.frame_fps, entry.max_num_frames,
                   annotation, f"{path.name}:{name}")
        )  # fmt: skip
    return sources


def _entries(kind: str, annotations):
    """(video, name of the entry, annotation) of each."""
    if kind == "narration":
        for video, by_id in annotations.items():
            for key, narrations in by_id.items():
                yield video, f"{video}/{key}", narrations
    else:
        for index, item in enumerate(annotations):
            yield item.video_uid, f"{index} ({item.video_uid})", item


def _times(annotation) -> dict[str, float]:
    match annotation:
        case MagqaItem():
            return {f"turn {i} time": turn.time for i, turn in enumerate(annotation.conversation)}
        case GroundingItem():
            return {f"timestamps[{i}] end": end for i, (_, end) in enumerate(annotation.timestamps)}
        case _:
            return {f"narration {i} time": item.time for i, item in enumerate(annotation)}
