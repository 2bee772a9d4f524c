"""The three annotation kinds as their files have them, checked where they enter.

* narration `{video: {annotation id: [{text, time, timespan: [s, e]}]}}`
* magqa `[{video_uid, video_start_time, conversation: [{role, content, time, timespan?, learn?}]}]`
* grounding `[{video_uid, query, timestamps: [[s, e], ...]}]`

Times are seconds into the video.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError, model_validator

from mmduet.errors import AnnotationError
from mmduet.files import inside, place_of, read_json, shown

MAX_SECONDS = 1e6  # a longer video, of eleven days, is a mistake
MAX_NAME = 255  # bytes of a file's name, of any file system


def _is_text(text: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("it holds half of a surrogate pair, which is no character")
    return text


def _is_name(name: str) -> str:
    try:
        parts = os.fsencode(name).split(b"/")
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair, which no file name has") from None
    if not name or "\0" in name or max(map(len, parts)) > MAX_NAME:
        raise ValueError(f"a file's name has 1 to {MAX_NAME} bytes, none of them 0")
    return name


def _stays_inside(name: str) -> str:
    if inside(Path(), name) is None:
        raise ValueError("it leads out of the folder")
    return name


def _ordered(span: tuple[float, float]) -> tuple[float, float]:
    if span[1] < span[0]:
        raise ValueError(f"the span [{span[0]}, {span[1]}] ends before it starts")
    return span


# numbers and truth values as they are: never read from texts, nor one as the other
Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Seconds = Annotated[Number, Field(ge=0, le=MAX_SECONDS)]
Span = Annotated[tuple[Seconds, Seconds], AfterValidator(_ordered)]
Text = Annotated[str, Field(strict=True), AfterValidator(_is_text)]
Name = Annotated[str, Field(strict=True), AfterValidator(_is_name)]
NameInside = Annotated[Name, AfterValidator(_stays_inside)]


class Narration(BaseModel):
    """One caption. time: when it is said. timespan: what it is about. learn: whether it is a training target."""

    text: Text
    time: Seconds
    timespan: Span
    learn: Flag = True


class MagqaTurn(BaseModel):
    """One turn. An assistant's has a timespan; learn: whether it is a training target."""

    role: Literal["user", "assistant"]
    content: Text
    time: Seconds
    timespan: Span | None = None
    learn: Flag = True

    @model_validator(mode="after")
    def _answer_has_span(self):
        if self.role == "assistant" and self.timespan is None:
            raise ValueError("an assistant turn needs a timespan")
        return self


class MagqaItem(BaseModel):
    """A question and its answers along one video."""

    video_uid: Name
    video_start_time: Seconds = 0
    conversation: list[MagqaTurn] = Field(min_length=1)


class GroundingItem(BaseModel):
    """A query and the spans of the video that it is about."""

    video_uid: Name
    query: Text
    timestamps: list[Span] = Field(min_length=1)


NarrationFile = dict[Name, dict[Text, Annotated[list[Narration], Field(min_length=1)]]]
_ADAPTERS: dict[str, TypeAdapter] = {
    "narration": TypeAdapter(NarrationFile),
    "magqa": TypeAdapter(list[MagqaItem]),
    "grounding": TypeAdapter(list[GroundingItem]),
}


def read_annotations(path: str | Path, kind: str) -> Any:
    """The annotations of a file, checked. kind: narration, magqa or grounding.

    Raises AnnotationError naming the file, the entry, the field and what is wrong with it.
    """
    content = read_json(path)
    try:
        return _ADAPTERS[kind].validate_python(content)
    except ValidationError as error:
        raise AnnotationError(_explain(path, kind, error)) from error


def _explain(path: str | Path, kind: str, error: ValidationError) -> str:
    first = error.errors()[0]
    *entry, name = first["loc"] or ["the file"]
    more = f" ({error.error_count() - 1} more like it)" if error.error_count() > 1 else ""
    return (
        f"{path}: {kind} entry {place_of(entry or [name])}, field {shown(str(name))}: {first['msg']}; "
        f"found {shown(first['input'])}{more}."
    )


def check_times(path: str | Path, entry: str, times: Mapping[str, float], duration: float) -> None:
    """Refuse a time past the video's end (0.5 s of slack: durations are rounded in many files)."""
    for name, time in times.items():
        if time > duration + 0.5:
            raise AnnotationError(
                f"{path}: entry {entry}, {name} {time} s lies past the video's end at {duration:.2f} s; "
                "correct the time, or the video's metadata if that is wrong."
            )
