"""Camera: the frames that a page's camera sends, as batches for a session. It knows no widgets."""

import io
import time
from collections.abc import Iterator, Sequence
from threading import Condition
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from mmduet.errors import DuetError, VideoError
from mmduet.files import validated
from mmduet.video import FrameBatch, FrameSize, fit_frames
from mmduet.video.fitting import longest_side

CAMERA = "camera:"  # in the place of a clip's path
MAX_BYTES = 1_000_000  # of a frame's JPEG
MAX_SIDE = 1280  # pixels of a frame
SENT_SIDE = 640  # pixels that a page sends, at most
PATIENCE = 10.0  # s beyond two frames' time without a frame, after which the camera counts as gone


class _Frame(BaseModel):
    model_config = ConfigDict(strict=True)
    run: int
    number: Annotated[int, Field(ge=0, lt=2**31)]


class Camera:
    """An iterable over the frames of one run, each a FrameBatch, in the order in which a page captured them.

    Frame `number` was captured at number / fps, s, by the camera's clock. Only the newest frame is kept until the
    session takes it. The iteration ends with `end`, or when no frame comes: the page is gone. One thread iterates;
    others may call the methods.

    Args:
        run: The number of the run. Frames of other runs are ignored.
        fps: Frames per second of the sample.
        size: As for `iter_frames`.
        patience: The camera counts as gone after this time without a frame, s.

    Attributes:
        dropped: Frames that the session did not get: the page was not ready to send them, a newer one came before the
            session took them, or they were refused.
    """

    def __init__(self, *, run: int, fps: float, size: FrameSize, patience: float = PATIENCE):
        self.run, self.fps, self.size = run, fps, size
        self.patience = patience + 2 / fps
        self.dropped = 0
        self._received = self._taken = self._scored = -1  # numbers of the last frames
        self._newest: FrameBatch | None = None
        self._changed = Condition()
        self._paused = self._over = False
        self._heard = time.monotonic()

    @property
    def state(self) -> dict[str, Any]:
        """run, fps, side (of a frame to send, pixels), the numbers of the last frames received and scored, dropped."""
        return {
            "run": self.run,
            "fps": self.fps,
            "side": min(longest_side(self.size), SENT_SIDE),
            "received": self._received,
            "scored": self._scored,
            "dropped": self.dropped,
        }

    def add(self, frame: Any, buffers: Sequence[bytes | memoryview]) -> None:
        """Take a frame that the page sends. One that is older than the last one, or of another run, is ignored.

        Args:
            frame: run and number, as the page sends them.
            buffers: The frame as a JPEG file.

        Raises:
            DuetError: The message is no such frame, the frame is too large, or it is no JPEG.
        """
        sent = validated("the page's camera", _Frame, frame, place="field")
        with self._changed:
            if sent.run != self.run or sent.number <= self._received or self._over:
                return
            self.dropped += sent.number - self._received - 1
            self._received, self._heard = sent.number, time.monotonic()
        try:
            pixels = fit_frames(_pixels(sent.number, buffers), self.size)
        except DuetError:
            self.dropped += 1
            raise
        with self._changed:
            self.dropped += self._newest is not None
            self._newest = FrameBatch(np.array([sent.number / self.fps]), pixels)
            self._changed.notify_all()

    def mark_scored(self) -> None:
        """Note that the frame that was taken last has its scores."""
        self._scored = self._taken

    def pause(self, paused: bool) -> None:
        """Set whether no frame is expected."""
        with self._changed:
            self._paused, self._heard = paused, time.monotonic()
            self._changed.notify_all()

    def end(self) -> None:
        """End the iteration."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[FrameBatch]:
        self._heard = time.monotonic()
        while frame := self._take():
            yield frame
        if not self._over and self._received < 0:
            raise VideoError(
                f"the camera: no frame came for {self.patience:.0f} s: press Watch on the page, and allow the camera."
            )

    def _take(self) -> FrameBatch | None:
        """The newest frame, once there is one; None at the end."""
        with self._changed:
            while not self._newest and not self._over:
                left = self._heard + self.patience - time.monotonic()
                if left <= 0 and not self._paused:
                    return None
                self._changed.wait(None if self._paused else left)
            frame, self._newest = self._newest, None
            if self._over or frame is None:
                return None
            self._taken = round(float(frame.times[0]) * self.fps)
            return frame


def _pixels(number: int, buffers: Sequence[bytes | memoryview]) -> torch.Tensor:
    """The pixels of a JPEG file, uint8 [1, 3, H, W]. What is too large is refused before it is decoded."""
    name, size = f"frame {number} of the camera", sum(len(buffer) for buffer in buffers)
    if not 0 < size <= MAX_BYTES:
        raise DuetError(
            f"{name}: has {size:,} bytes: a frame is a JPEG of 1 to {MAX_BYTES:,} bytes: send a smaller one."
        )
    try:
        with Image.open(io.BytesIO(b"".join(buffers)), formats=["JPEG"]) as picture:
            width, height = picture.size
            if max(width, height) > MAX_SIDE:
                raise DuetError(
                    f"{name}: has {width} x {height} pixels, and a side has at most {MAX_SIDE}: send a smaller one."
                )
            pixels = np.array(picture.convert("RGB"))
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DuetError(f"{name}: is no complete JPEG file ({error}): send one.") from error
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]
