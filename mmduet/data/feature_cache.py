"""FeatureStore: the frozen tower's features of whole videos, stored once and read in every epoch and run."""

import hashlib
import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors import SafetensorError, safe_open
from tqdm import tqdm

from mmduet.data.mixture import Source
from mmduet.data.unreadable import BrokenVideos
from mmduet.errors import DuetError, VideoError
from mmduet.files import clean, make_folder, write_tensors
from mmduet.model.duet import ENCODE_AT_ONCE, DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor
from mmduet.video import iter_frames

GB = 1e9  # bytes


class FeatureStore:
    """Vision features of a video's sampled frames, [N, cells, D] in the tower's own precision, one file a video.

    Kept is what the pooling reads (`FramePool.cells`), before the projector: that is trained, and not linear, so the
    pooling behind it cannot be done before. The key is the video
    file (path, size, time of change), the rate, the tower's weights and the frame settings. A file is complete
    or not there, so processes may share the folder; only the frames that are asked for are read from it.

    limit_gb: the folder may not grow past so many GB; None: past what the disk has.
    """

    def __init__(
        self,
        folder: str | Path,
        model: DuetForConditionalGeneration,
        processor: DuetProcessor,
        *,
        limit_gb: float | None = None,
    ):
        self.folder, self.model, self.processor, self.limit_gb = Path(folder), model, processor, limit_gb
        make_folder(self.folder)
        clean(self.folder)
        self.tower = _fingerprint(model, processor)

    def path(self, video: Path, fps: float) -> Path:
        """Where a video's features are, or will be. Raises VideoError when there is no such video."""
        try:
            stat = video.stat()
        except FileNotFoundError:
            raise VideoError(f"{video} does not exist: check the mixture's video_root and the annotation.") from None
        key = f"{video.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{float(fps)}|{self.tower}"
        return self.folder / f"{video.stem}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"

    def estimate(self, sources: Iterable[Source]) -> int:
        """Bytes that the features of these annotations' videos take, from their durations."""
        durations = {(source.video, source.fps): source.duration for source in sources}
        frames = sum(math.ceil(duration * fps) for (_, fps), duration in durations.items())
        return frames * self._frame_bytes()

    def prepare(self, sources: Sequence[Source], broken: BrokenVideos | None = None) -> None:
        """Compute what is missing for these annotations, with a progress bar; processes share the work.

        broken: what is done about a video that cannot be read (None: stop).
        Raises DuetError, before anything is computed, when it would not fit the limit or the disk.
        """
        broken, state = broken or BrokenVideos(), PartialState()
        missing = [source for source in sources if not self._is_stored(source)]
        if missing and state.is_main_process:
            self._check_space(missing)
        state.wait_for_everyone()
        jobs = sorted({(source.video, source.fps) for source in missing})
        for video, fps in tqdm(
            jobs[state.process_index :: state.num_processes], desc="vision features", unit="video", disable=not jobs
        ):
            try:
                self._compute(video, fps)
            except VideoError as error:
                if state.num_processes > 1:
                    continue  # every process finds it below, and does the same about it
                broken.add(video, error)
        state.wait_for_everyone()
        if state.num_processes > 1:
            self._find_broken([job for job in jobs if not self._is_there(*job)], broken)

    def read(self, video: Path, fps: float, first: int, count: int) -> torch.Tensor:
        """Features of frames first … first + count - 1, [count, cells, D]; computed first if they are not stored.

        Raises DuetError when the video has fewer frames than that, or the file is damaged, of another tower, or holds
        what is no number.
        """
        path = self.path(video, fps)
        if not path.is_file():
            self._compute(video, fps)
        features = self._slice(path, first, count)
        if len(features) < count:
            raise DuetError(
                f"{video} gives {first + len(features)} frames at {fps} a second, its annotations speak of "
                f"{first + count}: correct the metadata's duration."
            )
        finite = features.flatten(1).isfinite().all(1)
        if not finite.all():
            frame = first + int((~finite).nonzero()[0])
            raise DuetError(
                f"{path}, frame {frame} of {video}, holds NaN or inf: delete the file, to have it made anew."
            )
        return features

    def _slice(self, path: Path, first: int, count: int) -> torch.Tensor:
        try:
            with safe_open(path, framework="pt") as file:
                tower = (file.metadata() or {}).get("tower")
                if tower != self.tower:
                    raise DuetError(
                        f"{path} holds features of another vision tower ({str(tower)[:12]}, this model's is "
                        f"{self.tower[:12]}): delete it, or give each tower a folder of its own."
                    )
                return file.get_slice("features")[first : first + count]
        except (SafetensorError, OSError) as error:
            raise DuetError(f"{path} cannot be read ({error}): delete it, to have it made anew.") from error

    def _compute(self, video: Path, fps: float) -> None:
        path = self.path(video, fps)
        features = tower_features(self.model, self.processor, video, fps, 0, None)
        if not features.isfinite().all():
            raise DuetError(f"{video}: the vision tower gives NaN or inf for it: check the tower's weights and dtype.")
        write_tensors(path, {"features": features}, {"tower": self.tower, "video": str(video), "fps": str(fps)})

    def _find_broken(self, jobs: Iterable[tuple[Path, float]], broken: BrokenVideos) -> None:
        for video, fps in jobs:
            try:
                self._compute(video, fps)
            except VideoError as error:
                broken.add(video, error)

    def _is_there(self, video: Path, fps: float) -> bool:
        return video.is_file() and self.path(video, fps).is_file()

    def _is_stored(self, source: Source) -> bool:
        return self._is_there(source.video, source.fps)

    def _frame_bytes(self) -> int:
        tower = next(self.model.vision_tower.parameters())
        return len(self.model.pool.cells) * self.model.config.vision_config.hidden_size * tower.element_size()

    def _check_space(self, missing: Sequence[Source]) -> None:
        needed = self.estimate(missing)
        used = sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))
        free = shutil.disk_usage(self.folder).free
        tqdm.write(f"vision features: {_size(needed)} to compute, {_size(used)} are in {self.folder}")
        room, what = free, "the disk has left"
        if self.limit_gb is not None and self.limit_gb * GB - used < free:
            room, what = int(self.limit_gb * GB) - used, f"limit_gb={self.limit_gb:g} leaves"
        if needed > room:
            raise DuetError(
                f"the vision features would take {_size(needed)} more in {self.folder}, {what} {_size(max(room, 0))}: "
                "raise the limit, choose another folder, or train straight from video."
            )


def _size(amount: int) -> str:
    """Bytes as one reads them."""
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
    """Vision features of frames first … first + count - 1 (None: to the end), [n, cells, D] on the CPU, not stored."""
    end = None if count is None else max(1, first + count)
    frames = iter_frames(
        video, fps=fps, size=processor.frame.size, max_frames=end, rounding="ceil", batch_size=ENCODE_AT_ONCE
    )
    batches = [model.frame_features(processor.pixel_values(batch.frames).to(model.device)).cpu() for batch in frames]
    return torch.cat(batches)[first:end].contiguous()


def _fingerprint(model: DuetForConditionalGeneration, processor: DuetProcessor) -> str:
    """Of everything a feature depends on beside the video."""
    digest = hashlib.sha256(repr((processor.frame, model.pool.side, model.pool.stride, model.pool.mode)).encode())
    for name, value in model.vision_tower.state_dict().items():
        digest.update(f"{name} {value.dtype}".encode())
        digest.update(value.float().sum(dtype=torch.float64).cpu().numpy().tobytes())
    return digest.hexdigest()
