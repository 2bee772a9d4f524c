"""Rendering of `scenes`: a script -> an mp4 file. A photograph is panned, zoomed and lit; a pause is a blank wall."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmduet.data.scenes.script import RATE, Script, Shot
from mmduet.files import replacing
from mmduet.system.photographs import PHOTOGRAPHS

WIDTH, HEIGHT = 320, 240  # pixels
Picture = NDArray[np.uint8]  # [HEIGHT, WIDTH, 3]
Floats = NDArray[np.float64]
Camera = Callable[[int], Picture]  # source frame -> what it shows


def render_clip(script: Script, path: Path) -> None:
    """Write a clip as H.264 in mp4. The same script gives the same bytes."""
    with replacing(path) as temporary:
        _encode(_frames(script), temporary)


def _encode(frames: Iterator[Picture], path: Path) -> None:
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream: Any = container.add_stream(
            "libx264",
            rate=RATE,
            options={
                "crf": "27",
                "preset": "veryfast",
                # one thread and no look-ahead: with them some runs differed in a few bits
                "x264-params": "threads=1:weightp=0:mbtree=0:rc-lookahead=0",
            },
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _frames(script: Script) -> Iterator[Picture]:
    """Every source frame; cross-fades are centred on the shots' borders."""
    cameras = [_camera(shot, script.draw(10 + n)) for n, shot in enumerate(script.shots)]
    borders = [(shot.start, shot.fade, n) for n, shot in enumerate(script.shots) if shot.fade]
    for n, shot in enumerate(script.shots):
        for frame in range(shot.start, shot.end):
            picture = cameras[n](frame)
            for border, fade, later in borders:
                weight = 0.5 + (frame + 0.5 - border) / fade  # of the later shot
                if 0 < weight < 1:
                    before, after = cameras[later - 1](frame), cameras[later](frame)
                    picture = (before * (1 - weight) + after * weight).astype(np.uint8)
            yield picture


def _camera(shot: Shot, rng: np.random.Generator) -> Camera:
    return _photograph_camera(shot, rng) if shot.concept else _wall_camera(shot, rng)


def _photograph_camera(shot: Shot, rng: np.random.Generator) -> Camera:
    """Pans and zooms from one part of the photograph to another, under its own light."""
    photograph = PHOTOGRAPHS[str(shot.concept)]
    mirrored = bool(photograph.mirrored and rng.random() < 0.5)
    picture = _photograph(photograph.key, mirrored)
    left, top, right, bottom = photograph.subject
    subject = np.array([[1 - right, top, 1 - left, bottom] if mirrored else photograph.subject]).reshape(2, 2)
    boxes = np.array([_draw_box(np.array(picture.size), subject, rng) for _ in range(2)])
    gain, tint, swing = rng.uniform(0.75, 1.15), rng.uniform(0.93, 1.07, 3), rng.uniform(-0.12, 0.12)

    def look(frame: int) -> Picture:
        way = (frame - shot.start) / (shot.end - shot.start)
        box = boxes[0] + (boxes[1] - boxes[0]) * min(max(way, 0.0), 1.0)
        seen = picture.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=tuple(box))
        levels = np.arange(256)[None] * (tint * gain * (1 + swing * way))[:, None]
        return np.asarray(seen.point(np.clip(levels, 0, 255).astype(int).ravel().tolist()))

    return look


def _draw_box(size: Floats, subject: Floats, rng: np.random.Generator) -> Floats:
    """A 4:3 part of a picture that contains the subject: left, top, right, bottom.

    size: width, height. subject: shares of them, [[left, top], [right, bottom]]. The part is 65 to 100 % of the
    largest possible one. If the subject does not fit, the part contains the subject's middle.
    """
    screen, inside = np.array([WIDTH, HEIGHT]), subject * size
    largest = (size / screen).min()
    needed = ((inside[1] - inside[0]) / screen / largest).max()
    part = screen * largest * rng.uniform(np.clip(needed, 0.65, 1.0), 1.0)
    first, last = np.maximum(inside[1] - part, 0), np.minimum(inside[0], size - part)
    # nearer the middle than the border
    corner = np.clip(first + (last - first) * rng.beta(2.5, 2.5, 2), 0, size - part)
    return np.concatenate([corner, corner + part])


@cache
def _photograph(key: str, mirrored: bool) -> Image.Image:
    picture: Image.Image = Image.open(PHOTOGRAPHS[key].path)
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture.convert("RGB")
    picture.thumbnail((700, 700))
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else picture


def _wall_camera(shot: Shot, rng: np.random.Generator) -> Camera:
    """A plain wall whose light changes a little."""
    color, slope = rng.uniform(60, 200) * rng.uniform(0.9, 1.1, 3), rng.uniform(-0.25, 0.25, 2)
    x, y = np.linspace(-0.5, 0.5, WIDTH), np.linspace(-0.5, 0.5, HEIGHT)
    light = 1 + slope[0] * x[None, :] + slope[1] * y[:, None]
    speed = rng.uniform(0.5, 1.5)

    def look(frame: int) -> Picture:
        drift = 1 + 0.03 * np.sin(speed * (frame - shot.start) / RATE)
        seen: Picture = np.clip(light[..., None] * color * drift, 0, 255).astype(np.uint8)
        return seen

    return look
