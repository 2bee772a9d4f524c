"""Field types of annotation files, and the check of their times. Values of another type are refused, not converted."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from mmduet.errors import AnnotationError
from mmduet.files import inside

MAX_SECONDS = 1e6  # a longer video, of eleven days, is a mistake
MAX_NAME = 255  # bytes of a file name, in any file system
ROUNDING = 0.5  # s: durations are rounded in many files
OVERHANG = 10.0  # s: published spans, cut to steps of 5 s, end up to 5 s past the video


def _is_text(text: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("it holds half of a surrogate pair, which is not a character")
    return text


def _is_name(name: str) -> str:
    try:
        parts = os.fsencode(name).split(b"/")
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair, which no file name has") from None
    if not name or "\0" in name or max(map(len, parts)) > MAX_NAME:
        raise ValueError(f"a file name has 1 to {MAX_NAME} bytes, none of them 0")
    return name


def _stays_inside(name: str) -> str:
    if inside(Path(), name) is None:
        raise ValueError("it leads out of the folder")
    return name


def _ordered(span: tuple[float, float]) -> tuple[float, float]:
    if span[1] < span[0]:
        raise ValueError(f"the span [{span[0]}, {span[1]}] ends before it starts")
    return span


Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Seconds = Annotated[Number, Field(ge=0, le=MAX_SECONDS)]
Span = Annotated[tuple[Seconds, Seconds], AfterValidator(_ordered)]
Text = Annotated[str, Field(strict=True), AfterValidator(_is_text)]
Name = Annotated[str, Field(strict=True), AfterValidator(_is_name)]
NameInside = Annotated[Name, AfterValidator(_stays_inside)]


def check_times(
    path: str | Path, entry: str, times: Mapping[str, float], duration: float, tolerance: float = ROUNDING
) -> None:
    """Refuse a time after the video's end.

    Args:
        path: The annotation file.
        entry: The name of the entry in it.
        times: Times in seconds, by their names.
        duration: The video's duration in seconds.
        tolerance: How long after the end a time may be, in seconds.

    Raises:
        AnnotationError: A time is after the end.
    """
    for name, time in times.items():
        if time > duration + tolerance:
            raise AnnotationError(
                f"{path}: entry {entry}, {name} {time} s lies past the video's end at {duration:.2f} s; "
                "correct the time, or the video's metadata if that is wrong."
            )
