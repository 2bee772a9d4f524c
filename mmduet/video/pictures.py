"""Pictures: an image file as a viewer shows it."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mmduet.errors import VideoError

MAX_PIXELS = 100_000_000
# of cameras, phones and pages, as far as PIL was built with them; it starts another program for some others
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "PPM")
UNBOUNDED = ("I", "F")  # PIL's modes whose numbers have no known white


def read_picture(path: Path) -> Image.Image:
    """Read a picture as RGB: upright as its EXIF orientation says, white behind what is transparent.

    16 bits a channel become 8. Of an animation it is the first picture.

    Raises:
        VideoError: The file is no picture that can be read, has more than `MAX_PIXELS`, or numbers without a known
            white.
    """
    try:
        Image.init()
        with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as file:
            if file.width * file.height > MAX_PIXELS:
                raise Image.DecompressionBombError(f"it has {file.width} x {file.height} pixels")
            if file.mode in UNBOUNDED:
                raise ValueError(f"its mode is {file.mode}, which does not say what is white")
            return _as_rgb(ImageOps.exif_transpose(file))
    except FileNotFoundError:
        raise VideoError(f"{path} does not exist: correct the path of the picture.") from None
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError, RuntimeError) as error:
        raise VideoError(
            f"{path} is no picture that can be read ({error}): give a JPEG or PNG file of at most "
            f"{MAX_PIXELS // 1_000_000} million pixels."
        ) from error


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):  # PIL would make all but the darkest 256 of 65,536 greys white
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if "A" in picture.getbands() or "transparency" in picture.info:
        whole = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB")
    return picture.convert("RGB")
