"""The three annotation kinds as their files have them, checked where they enter.

* narration `{video: {annotation id: [{text, time, timespan: [s, e]}]}}`
* magqa `[{video_uid, video_start_time, conversation: [{role, content, time, timespan?, learn?}]}]`
* grounding `[{video_uid, query, timestamps: [[s, e], ...]}]`

Times are seconds into the video.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError, model_validator

from mmduet.errors import AnnotationError
from mmduet.files import read_json


def _ordered(span: tuple[float, float]) -> tuple[float, float]:
    if span[1] < span[0]:
        raise ValueError(f"the span [{span[0]}, {span[1]}] ends before it starts")
    return span


Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Span = Annotated[tuple[Seconds, Seconds], AfterValidator(_ordered)]


class Narration(BaseModel):
    """One caption. time: when it is said. timespan: what it is about. learn: whether it is a training target."""

    text: str
    time: Seconds
    timespan: Span
    learn: bool = True


class MagqaTurn(BaseModel):
    """One turn. An assistant's has a timespan; learn: whether it is a training target."""

    role: Literal["user", "assistant"]
    content: str
    time: Seconds
    timespan: Span | None = None
    learn: bool = True

    @model_validator(mode="after")
    def _answer_has_span(self):
        if self.role == "assistant" and self.timespan is None:
            raise ValueError("an assistant turn needs a timespan")
        return self


class MagqaItem(BaseModel):
    """A question and its answers along one video."""

    video_uid: str
    video_start_time: Seconds = 0
    conversation: list[MagqaTurn] = Field(min_length=1)


class GroundingItem(BaseModel):
    """A query and the spans of the video that it is about."""

    video_uid: str
    query: str
    timestamps: list[Span] = Field(min_length=1)


NarrationFile = dict[str, dict[str, Annotated[list[Narration], Field(min_length=1)]]]
_ADAPTERS: dict[str, TypeAdapter] = {
    "narration": TypeAdapter(NarrationFile),
    "magqa": TypeAdapter(list[MagqaItem]),
    "grounding": TypeAdapter(list[GroundingItem]),
}


def read_annotations(path: str | Path, kind: str) -> Any:
    """The annotations of a file, checked. kind: narration, magqa or grounding.

    Raises AnnotationError naming the file, the entry, the field and what is wrong with it.
    """
    try:
        return _ADAPTERS[kind].validate_python(read_json(path))
    except ValidationError as error:
        raise AnnotationError(_explain(path, kind, error)) from error


def _explain(path: str | Path, kind: str, error: ValidationError) -> str:
    first = error.errors()[0]
    *entry, name = [str(part) for part in first["loc"]] or ["the file"]
    more = f" ({error.error_count() - 1} more like it)" if error.error_count() > 1 else ""
    value = repr(first.get("input"))
    return (
        f"{path}: {kind} entry {' / '.join(entry) or name}, field {name!r}: {first['msg']}; "
        f"found {value if len(value) < 120 else value[:117] + '...'}{more}."
    )


def check_times(path: str | Path, entry: str, times: Mapping[str, float], duration: float) -> None:
    """Refuse a time past the video's end (0.5 s of slack: durations are rounded in many files)."""
    for name, time in times.items():
        if time > duration + 0.5:
            raise AnnotationError(
                f"{path}: entry {entry}, {name} {time} s lies past the video's end at {duration:.2f} s; "
                "correct the time, or the video's metadata if that is wrong."
            )
