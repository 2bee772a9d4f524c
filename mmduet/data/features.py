"""FeatureStore: the frozen tower's features of whole videos, stored once and read in every epoch."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from mmduet.errors import DuetError
from mmduet.model import DuetForConditionalGeneration
from mmduet.processing import DuetProcessor
from mmduet.session import ENCODE_BATCH
from mmduet.video import iter_frames


class FeatureStore:
    """Vision features of a video's sampled frames, float16 [N, cells, D], one file a video.

    The key is the video file (path, size, time of change), the rate, the tower's weights and the frame
    settings; a file is written aside and renamed, so processes may share the folder.
    """

    def __init__(self, folder: str | Path, model: DuetForConditionalGeneration, processor: DuetProcessor):
        self.folder, self.model, self.processor = Path(folder), model, processor
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tower = _fingerprint(model, processor)

    def path(self, video: Path, fps: float) -> Path:
        """Where a video's features are, or will be. Raises DuetError when there is no such video."""
        try:
            stat = video.stat()
        except FileNotFoundError:
            raise DuetError(f"{video} does not exist: check the mixture's video_root and the annotation.") from None
        key = f"{video.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{fps}|{self.tower}"
        return self.folder / f"{video.stem}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"

    def prepare(self, videos: Iterable[tuple[Path, float]]) -> None:
        """Compute what is missing of (video, fps) pairs, with a progress bar."""
        missing = [item for item in sorted(set(videos)) if not self.path(*item).is_file()]
        for video, fps in tqdm(missing, desc="vision features", unit="video", disable=not missing):
            self._compute(video, fps)

    @torch.inference_mode()
    def _compute(self, video: Path, fps: float) -> None:
        batches = [
            self.model.vision_features(
                self.processor.pixel_values(batch.frames).to(self.model.device, self.model.dtype)
            )
            for batch in iter_frames(
                video, fps=fps, size=self.processor.frame.size, rounding="ceil", batch_size=ENCODE_BATCH
            )
        ]
        path = self.path(video, fps)
        aside = path.with_name(f".{os.getpid()}-{path.name}")
        try:
            save_file({"features": torch.cat(batches).half().cpu().contiguous()}, aside)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)

    def read(self, video: Path, fps: float, first: int, count: int) -> torch.Tensor:
        """Features of frames first … first + count - 1, float16 [count, cells, D].

        Raises DuetError when the video has fewer frames than that.
        """
        path = self.path(video, fps)
        if not path.is_file():
            self._compute(video, fps)
        features = load_file(path)["features"][first : first + count]
        if len(features) < count:
            raise DuetError(
                f"{video} gives {first + len(features)} frames at {fps} a second, its annotations speak of "
                f"{first + count}: correct the metadata's duration."
            )
        return features


def _fingerprint(model: DuetForConditionalGeneration, processor: DuetProcessor) -> str:
    """Of everything a feature depends on beside the video."""
    digest = hashlib.sha256(repr((processor.frame, model.pool.side, model.pool.stride, model.pool.mode)).encode())
    for name, value in model.vision_tower.state_dict().items():
        digest.update(name.encode())
        digest.update(value.float().sum(dtype=torch.float64).cpu().numpy().tobytes())
    return digest.hexdigest()
