"""The mixture: a JSON list of annotated video folders -> a dataset of training conversations.

Each entry is `{dataset_cls, video_root, anno_file, metadata_path, frame_fps?, max_num_frames?}`, as published. A
missing metadata file is made by a scan of the videos.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from torch.utils.data import Dataset

from mmduet.data.annotations import OVERHANG, Name, Number, Text, Whole, check_times
from mmduet.data.contract import checked_conversation, checked_entries, checked_texts, naming
from mmduet.data.conversations import Clock, Conversation
from mmduet.data.kinds import KINDS, AnnotatedText, AnnotationKind, Entry
from mmduet.data.metadata import Metadata, load_metadata
from mmduet.data.templates import Templates
from mmduet.data.unreadable import UnreadableVideos
from mmduet.errors import AnnotationError, DuetError
from mmduet.files import inside, read_json, shown, validated

MAX_FPS, MAX_FRAMES = 240, 100_000
ANY_FOLDER = "_"  # stands for the mixture's own folder where a path may go up by one


class MixtureEntry(BaseModel):
    """One annotation file and its videos.

    Attributes:
        dataset_cls: The annotation kind, by the name that mixture files use.
        video_root: The videos' folder.
        anno_file: The annotation file.
        metadata_path: The videos' metadata file.
        frame_fps: Frames sampled per second.
        max_num_frames: Maximum frames of a conversation.
    """

    model_config = ConfigDict(extra="forbid")
    dataset_cls: Text
    video_root: Name
    anno_file: Name
    metadata_path: Name
    frame_fps: Annotated[Number, Field(gt=0, le=MAX_FPS)] = 2.0
    max_num_frames: Annotated[Whole, Field(gt=0, le=MAX_FRAMES)] = 128


@dataclass(frozen=True, slots=True)
class Sample:
    """One annotation of one video.

    Attributes:
        kind: The name of its annotation kind.
        video: The video file.
        duration: The video's duration, in seconds.
        fps: Frames sampled per second.
        max_frames: Maximum frames of its conversation.
        annotation: What the kind's functions take.
        entry: Where the annotation comes from, FILE:ENTRY, for messages.
    """

    kind: str
    video: Path
    duration: float
    fps: float
    max_frames: int
    annotation: Any
    entry: str


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """A sample's conversation, as drawn for one epoch.

    Attributes:
        kind: The name of its annotation kind.
        video: The video file.
        fps: Frames sampled per second.
        conversation: Turns and labels.
        entry: Where the annotation comes from, FILE:ENTRY, for messages.
        drawn: The epoch and the index that it was drawn for.
    """

    kind: str
    video: Path
    fps: float
    conversation: Conversation
    entry: str
    drawn: tuple[int, int]


class MixtureDataset(Dataset[TrainingSample]):
    """Training conversations of a mixture file, made when they are asked for.

    `dataset[index]` is a conversation as drawn in epoch 0, `dataset[epoch, index]` in another epoch. The prompt
    template and the frames before a question are drawn from (seed, epoch, index) alone, so any number of workers draws
    the same.

    Attributes:
        samples: The annotations, in the order of the mixture.
        kinds: The known annotation kinds, by name.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        seed: int = 0,
        videos: int | None = None,
        root: str | Path | None = None,
        templates: Templates | None = None,
        broken: UnreadableVideos | None = None,
        kinds: Mapping[str, AnnotationKind] = KINDS,
    ):
        """Read a mixture file, its annotations and its metadata.

        Args:
            path: The mixture file.
            seed: Seed of everything that is drawn.
            videos: Keep the samples of the first so many videos, at least 1; None keeps all.
            root: The folder that relative paths of the mixture start from and may not leave; for the published mixture,
                the folder that holds datasets/. None: they start from the mixture's folder and stay in its parent, as
                in NAME/annotations and NAME/videos. Absolute paths are used as they are.
            templates: Prompt templates by kind; None for the built-in ones (see `read_templates`).
            broken: The policy for a video that the metadata does not list, or that ends before its annotations begin.
                None stops at the first one.
            kinds: The known annotation kinds: ``KINDS | {kind.name: kind}`` adds your own.

        Raises:
            AnnotationError: A file is damaged, names an unknown kind, or has a path that leaves its root, or `broken`
                stops.
            DuetError: `videos` is less than 1.
        """
        if videos is not None and videos < 1:
            raise DuetError(f"videos={videos}: must be at least 1, or None for all.")
        self.path, self.seed, self.templates = Path(path), seed, templates or {}
        self.kinds = {kind.name: kind for kind in kinds.values()}
        self.samples: list[Sample] = []
        by_class = _by_class(kinds)
        broken = broken or UnreadableVideos()
        for index, entry in enumerate(read_mixture(self.path, by_class)):
            paths = _entry_paths(self.path, index, entry, None if root is None else Path(root))
            self.samples += _read_samples(by_class[entry.dataset_cls], entry, paths, broken)
        if videos is not None:
            kept = set(list(dict.fromkeys(sample.video for sample in self.samples))[:videos])
            self.samples = [sample for sample in self.samples if sample.video in kept]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: int | tuple[int, int]) -> TrainingSample:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        sample = self.samples[index]
        with naming(self._where(sample)):
            conversation = self._converse(sample, Random(f"{self.seed}/{epoch}/{index}"))
        return TrainingSample(sample.kind, sample.video, sample.fps, conversation, sample.entry, (epoch, index))

    def _converse(self, sample: Sample, rng: Random) -> Conversation:
        kind = self.kinds[sample.kind]
        conversation = kind.conversation(
            sample.annotation,
            Clock(sample.fps, sample.duration),
            rng=rng,
            templates=self._templates(kind),
            max_frames=sample.max_frames,
        )
        return checked_conversation(conversation, sample.max_frames)

    def _where(self, sample: Sample) -> str:
        return f"{self.path}: {sample.kind} entry {sample.entry}"

    def _templates(self, kind: AnnotationKind) -> Sequence[str]:
        return self.templates.get(kind.name, kind.templates)

    def lengths(self) -> list[int]:
        """Frames of each conversation as drawn in epoch 0."""
        return [self[index].conversation.frames for index in range(len(self))]

    def digest(self) -> str:
        """A digest of all that a model is trained on but the pictures: the same on every machine.

        It is of the prompt templates, the videos' names, the frame rates, and the conversations as drawn in epoch 0.
        """
        used = sorted({sample.kind for sample in self.samples})
        digest = sha256(ascii([(name, self._templates(self.kinds[name])) for name in used]).encode())
        for index in range(len(self)):
            sample = self[index]
            digest.update(ascii((sample.kind, sample.video.name, sample.fps, sample.conversation)).encode())
        return digest.hexdigest()

    def texts(self, index: int) -> Sequence[AnnotatedText]:
        """The texts of a sample's annotation."""
        sample = self.samples[index]
        with naming(self._where(sample)):
            return checked_texts(self.kinds[sample.kind].texts(sample.annotation))

    def check_videos(self, broken: UnreadableVideos) -> None:
        """Check that every video exists, and report missing ones to `broken`."""
        first = {sample.video: sample.entry for sample in reversed(self.samples)}
        for video, entry in first.items():
            if not os.path.isfile(video):
                error = f"{self.path}: entry {entry} is about {video}, which does not exist: check the mixture's "
                broken.add(video, AnnotationError(error + "video_root, get the video, or remove the entry."))

    def leave_out(self, videos: Collection[Path]) -> None:
        """Remove the samples of these videos."""
        self.samples = [sample for sample in self.samples if sample.video not in videos]


def _by_class(kinds: Mapping[str, AnnotationKind]) -> dict[str, AnnotationKind]:
    """The kinds by their names in mixture files. Raises DuetError when two kinds share a name."""
    found: dict[str, AnnotationKind] = {}
    for kind in kinds.values():
        for other in found.values():
            if kind.name == other.name or kind.dataset_cls == other.dataset_cls:
                raise DuetError(
                    f"two annotation kinds share the name {kind.name!r} or the dataset_cls {kind.dataset_cls!r}: "
                    "give each kind its own."
                )
        found[kind.dataset_cls] = kind
    return found


def read_mixture(path: Path, known: Collection[str]) -> list[MixtureEntry]:
    """The entries of a mixture file.

    Args:
        path: The mixture file.
        known: The annotation kinds' names in mixture files.

    Raises:
        AnnotationError: An entry is wrong, or its kind is not known. The message names the first.
    """
    entries: list[MixtureEntry] = validated(path, list[MixtureEntry], read_json(path))
    for index, entry in enumerate(entries):
        if entry.dataset_cls not in known:
            raise AnnotationError(
                f"{path}: entry {index} / dataset_cls: no annotation kind is named {shown(entry.dataset_cls)}; known "
                f"are {', '.join(sorted(known))}: use one of them, or add your own kind (`kinds=`, --kind "
                "module:OBJECT)."
            )
    return entries


def _entry_paths(mixture: Path, index: int, entry: MixtureEntry, root: Path | None) -> tuple[Path, Path, Path]:
    """Video root, annotation file, metadata file. Raises AnnotationError for a relative path that leaves its root."""
    start, limit = (root, root) if root is not None else (mixture.parent, mixture.parent / "..")
    for name in ("video_root", "anno_file", "metadata_path"):
        text = getattr(entry, name)
        within = text if root is not None else f"{ANY_FOLDER}/{text}"
        if not Path(text).is_absolute() and inside(limit, within) is None:
            raise AnnotationError(
                f"{mixture}: entry {index}, {name} {text!r} leads out of {limit.resolve()}: move the files there, or "
                "give another root."
            )
    return start / entry.video_root, start / entry.anno_file, start / entry.metadata_path


def _read_samples(
    kind: AnnotationKind, mixed: MixtureEntry, paths: tuple[Path, Path, Path], broken: UnreadableVideos
) -> list[Sample]:
    video_root, path, metadata_path = paths
    annotations = kind.read(path)
    metadata = load_metadata(video_root, metadata_path)
    samples = []
    with naming(f"{path}: {kind.name}"):
        entries = list(checked_entries(kind.entries(annotations)))
    for entry in entries:
        video = inside(video_root, entry.video)
        if video is None:
            raise AnnotationError(
                f"{path}: entry {entry.name} is about {entry.video!r}, which leads out of {video_root}: name a "
                "file in it."
            )
        try:
            duration = _duration(path, entry, metadata_path, metadata)
            check_times(path, entry.name, entry.starts, duration)
            check_times(path, entry.name, entry.ends, duration, OVERHANG)
        except AnnotationError as error:
            broken.add(video, error)
            continue
        samples.append(
            Sample(
                kind.name, video, duration, mixed.frame_fps, mixed.max_num_frames, entry.annotation,
                f"{path.name}:{entry.name}",
            )
        )  # fmt: skip
    return samples


def _duration(path: Path, entry: Entry, metadata_path: Path, metadata: Metadata) -> float:
    """The duration of an entry's video. Raises AnnotationError when the metadata does not state it."""
    if entry.video in metadata.videos:
        return metadata.videos[entry.video].duration
    about = f"{path}: entry {entry.name} is about {entry.video!r}, which"
    if entry.video in metadata.broken:
        raise AnnotationError(f"{about} cannot be used: {metadata.broken[entry.video]}")
    raise AnnotationError(
        f"{about} {metadata_path.name} does not list: make the metadata again (`mmduet scan`), or remove the entry."
    )
