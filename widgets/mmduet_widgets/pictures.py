"""Pictures: the frames that the model sees, as JPEG for a browser that cannot show the clip itself."""

import io
import time

import torch

SIDE = 512  # pixels of the longer side, at most
QUALITY = 80  # of JPEG: frames of photographs take 20 to 60 kB
EVERY = 0.12  # s between two pictures, at least: a model that watches ahead of the clip sees hundreds a second


class Pictures:
    """Makes pictures of frames, at a bounded rate."""

    def __init__(self) -> None:
        self._taken = -EVERY

    def take(self, frame: torch.Tensor) -> bytes | None:
        """Make the picture of a frame; None where the last one is too fresh.

        Args:
            frame: uint8 [3, H, W], RGB.

        Returns:
            A JPEG file of at most SIDE x SIDE pixels.
        """
        if time.monotonic() - self._taken < EVERY:
            return None
        self._taken = time.monotonic()
        return jpeg(frame)


def jpeg(frame: torch.Tensor) -> bytes:
    """Encode a frame, uint8 [3, H, W], as JPEG of at most SIDE x SIDE pixels."""
    from PIL import Image

    picture = Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy())
    picture.thumbnail((SIDE, SIDE))
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=QUALITY)
    return written.getvalue()
