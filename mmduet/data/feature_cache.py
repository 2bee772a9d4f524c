"""FeatureCache: the frozen vision tower's features of whole videos, computed once and read in every epoch and run."""

import hashlib
import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import PartialState
from safetensors import SafetensorError, safe_open
from tqdm import tqdm

from mmduet.data.mixture import Sample
from mmduet.data.unreadable import UnreadableVideos
from mmduet.errors import DuetError, VideoError
from mmduet.files import clean, make_folder, write_tensors
from mmduet.files.names import bounded
from mmduet.model.duet import ENCODE_AT_ONCE, DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor
from mmduet.video import iter_frames
from mmduet.video.fitting import longest_side

GB = 1e9  # bytes
STORED = ".safetensors"  # the suffix of a file of features in the place of a video


class FeatureCache:
    """Vision features of a video's sampled frames, [N, cells, D] in the tower's own precision, one file per video.

    The cache holds what the pooling reads (`FramePool.cells`), before the projector: the projector is trained and not
    linear, so the pooling after it cannot be computed in advance. The key is the video file (path, size, time of
    change), the frame rate, the tower's weights, the frame settings, and what the model makes of one fixed frame: other
    code with the same weights has other files. A file is complete or does not exist, so processes may share the folder.
    Only the requested frames are read from a file. In the place of a video there may be a file of such features,
    `NAME.safetensors`, which is read as it is (`write_features`).
    """

    def __init__(
        self,
        folder: str | Path,
        model: DuetForConditionalGeneration,
        processor: DuetProcessor,
        *,
        limit_gb: float | None = None,
    ):
        """Open a cache, or make its folder.

        Args:
            folder: Where the files are.
            model: The model whose vision tower computes the features.
            processor: Its processor.
            limit_gb: Maximum size of the folder in GB. None: as much as the disk has.
        """
        if not hasattr(model, "pool"):
            raise DuetError(
                f"features: {type(model).__name__} has no features to cache, since its frames differ in size: leave "
                "features out, which encodes the frames in every step."
            )
        self.folder, self.model, self.processor, self.limit_gb = Path(folder), model, processor, limit_gb
        make_folder(self.folder)
        clean(self.folder)
        self.tower = fingerprint(model, processor)
        self._probe = self._find_probe()

    def path(self, video: Path, fps: float) -> Path:
        """The file of a video's features, whether it exists or not.

        Raises:
            VideoError: The video does not exist.
        """
        try:
            stat = video.stat()
        except FileNotFoundError:
            raise VideoError(f"{video} does not exist: check the mixture's video_root and the annotation.") from None
        if video.suffix == STORED:
            return video
        key = f"{video.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{float(fps)}|{self.tower}|{self._probe}"
        end = f"-{hashlib.sha256(key.encode()).hexdigest()[:16]}{STORED}"
        return self.folder / (bounded(video.stem, added=len(end)) + end)

    def estimate(self, samples: Iterable[Sample]) -> int:
        """Bytes that the features of these samples' videos take, computed from the videos' durations."""
        durations = {(sample.video, sample.fps): sample.duration for sample in samples}
        frames = sum(math.ceil(duration * fps) for (_, fps), duration in durations.items())
        return frames * self._frame_bytes()

    def prepare(self, samples: Sequence[Sample], broken: UnreadableVideos | None = None) -> None:
        """Compute the missing features of these samples, with a progress bar. Processes share the work.

        Args:
            samples: Samples of a mixture.
            broken: The policy for a video that cannot be read; None stops at the first one.

        Raises:
            DuetError: The features would exceed the limit or the disk (before anything is computed), or `broken` stops.
        """
        broken, state = broken or UnreadableVideos(), PartialState()
        missing = [sample for sample in samples if not self._is_stored(sample.video, sample.fps)]
        if missing and state.is_main_process:
            self._check_space(missing)
        state.wait_for_everyone()
        jobs = sorted({(sample.video, sample.fps) for sample in missing})
        for video, fps in tqdm(
            jobs[state.process_index :: state.num_processes], desc="vision features", unit="video", disable=not jobs
        ):
            try:
                self._compute(video, fps)
            except VideoError as error:
                if state.num_processes > 1:
                    continue  # below, every process finds it and follows the same policy
                broken.add(video, error)
        state.wait_for_everyone()
        if state.num_processes > 1:
            self._find_unreadable([job for job in jobs if not self._is_stored(*job)], broken)

    def read(self, video: Path, fps: float, first: int, count: int) -> torch.Tensor:
        """Features of frames first … first + count - 1, computed first if they are not in the cache.

        Returns:
            [count, cells, D]

        Raises:
            DuetError: The video has fewer frames, or the file is damaged, of another tower, or holds NaN or inf.
        """
        path = self.path(video, fps)
        if not path.is_file():
            self._compute(video, fps)
        features = self._slice(path, first, count)
        if len(features) < count:
            raise DuetError(
                f"{video} gives {first + len(features)} frames at {fps} per second, its annotations need "
                f"{first + count}: correct the metadata's duration."
            )
        finite = features.flatten(1).isfinite().all(1)
        if not finite.all():
            frame = first + int((~finite).nonzero()[0])
            raise DuetError(f"{path}, frame {frame} of {video}, holds NaN or inf: {self._remedy(path)}.")
        return features

    def _find_probe(self) -> str:
        """Name what the model makes of a fixed frame: by the folder's file that is close to it, else by a new one.

        The weights alone do not tell a changed `vision_features`. A hash of features does not either, since devices
        and thread counts change their last bits.
        """
        features, start = probe_features(self.model, self.processor), f"tower-{self.tower[:16]}"
        for path in sorted(self.folder.glob(f"{start}-*{STORED}")):
            if _are_close(self._slice(path, 0, 1), features):
                return path.stem
        content = hashlib.sha256(features.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()
        write_features(self.folder / f"{start}-{content[:16]}{STORED}", features, self.tower)
        return f"{start}-{content[:16]}"

    def _slice(self, path: Path, first: int, count: int) -> torch.Tensor:
        try:
            with safe_open(path, framework="pt") as file:
                tower = (file.metadata() or {}).get("tower")
                if tower != self.tower:
                    raise DuetError(
                        f"{path} holds features of another vision tower ({str(tower)[:12]}, this model's is "
                        f"{self.tower[:12]}): {self._remedy(path)}, or give each tower its own folder."
                    )
                features: torch.Tensor = file.get_slice("features")[first : first + count]
                return features
        except (SafetensorError, OSError) as error:
            raise DuetError(f"{path} cannot be read ({error}): {self._remedy(path)}.") from error

    def _remedy(self, path: Path) -> str:
        """What to do about a file that cannot be used: only those of the cache are computed again."""
        if path.parent == self.folder:
            return "delete it, and it is computed again"
        return "get it, or make it, again"

    def _compute(self, video: Path, fps: float) -> None:
        path = self.path(video, fps)
        features = tower_features(self.model, self.processor, video, fps, 0, None)
        if not features.isfinite().all():
            raise DuetError(f"{video}: the vision tower gives NaN or inf for it: check the tower's weights and dtype.")
        write_features(path, features, self.tower, video=str(video), fps=str(fps))

    def _find_unreadable(self, jobs: Iterable[tuple[Path, float]], broken: UnreadableVideos) -> None:
        for video, fps in jobs:
            try:
                self._compute(video, fps)
            except VideoError as error:
                broken.add(video, error)

    def _is_stored(self, video: Path, fps: float) -> bool:
        return video.is_file() and self.path(video, fps).is_file()

    def _frame_bytes(self) -> int:
        tower = next(self.model.vision_tower.parameters())
        hidden: int = self.model.config.vision_config.hidden_size
        return len(self.model.pool.cells) * hidden * tower.element_size()

    def _check_space(self, missing: Sequence[Sample]) -> None:
        needed = self.estimate(missing)
        used = sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))
        free = shutil.disk_usage(self.folder).free
        tqdm.write(f"vision features: {_size(needed)} to compute, {_size(used)} already in {self.folder}")
        room, what = free, "the disk has"
        if self.limit_gb is not None and self.limit_gb * GB - used < free:
            room, what = int(self.limit_gb * GB) - used, f"limit_gb={self.limit_gb:g} leaves"
        if needed > room:
            raise DuetError(
                f"the vision features would take {_size(needed)} more in {self.folder}, {what} {_size(max(room, 0))}: "
                "raise the limit, choose another folder, or train from video without a cache."
            )


def _are_close(features: torch.Tensor, others: torch.Tensor) -> bool:
    """Whether features differ by no more than what another device or batch changes: 1 %, and 6 % in bfloat16."""
    if features.shape != others.shape:
        return False
    tolerance = max(0.01, 8 * torch.finfo(features.dtype).eps)
    apart = (features.double() - others.double()).norm()
    return bool(apart <= tolerance * others.double().norm())


def _size(amount: int) -> str:
    """A number of bytes, for a message."""
    return f"{amount / GB:.1f} GB" if amount >= GB else f"{amount / 1e6:.1f} MB"


@torch.no_grad()
def tower_features(
    model: DuetForConditionalGeneration,
    processor: DuetProcessor,
    video: Path,
    fps: float,
    first: int,
    count: int | None,
) -> torch.Tensor:
    """Compute vision features without a cache.

    Args:
        model: The model whose vision tower computes them.
        processor: Its processor.
        video: The video file.
        fps: Frames sampled per second.
        first: The first frame.
        count: The number of frames; None for all frames to the end.

    Returns:
        [n, cells, D] on the CPU.
    """
    end = None if count is None else max(1, first + count)
    frames = iter_frames(
        video, fps=fps, size=processor.frame.fit, max_frames=end, rounding="held", batch_size=ENCODE_AT_ONCE
    )
    batches = [model.frame_features(processor.pixel_values(batch.frames).to(model.device)).cpu() for batch in frames]
    return torch.cat(batches)[first:end].contiguous()


def write_features(path: Path, features: torch.Tensor, tower: str, **facts: str) -> None:
    """Write a video's features, [N, cells, D].

    Args:
        path: The file.
        features: The features.
        tower: `fingerprint` of the model that they are for.
        **facts: What else is told in the file's metadata.
    """
    write_tensors(path, {"features": features}, {"tower": tower, **facts})


@torch.no_grad()
def probe_features(model: DuetForConditionalGeneration, processor: DuetProcessor) -> torch.Tensor:
    """Return the features of one fixed frame of coloured squares, [1, cells, D] on the CPU."""
    squares = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    frame = F.interpolate(squares, size=longest_side(processor.frame.size))
    return model.frame_features(processor.pixel_values(frame).to(model.device)).cpu()


def fingerprint(model: DuetForConditionalGeneration, processor: DuetProcessor) -> str:
    """Return a hash of the tower's weights, byte by byte, and of the settings of frames and pooling."""
    digest = hashlib.sha256(repr((processor.frame, model.pool.side, model.pool.stride, model.pool.mode)).encode())
    for name, value in model.vision_tower.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
