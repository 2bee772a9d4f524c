"""FrameSettings: how a frame becomes pixel values and tokens; and their form in a file."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mmduet.video import CenterCrop, FrameSize, Within

Channels = float | tuple[float, float, float]  # one number for all three, or red, green, blue


@dataclass(frozen=True, slots=True)
class FrameSettings:
    """How a frame becomes pixel values and tokens.

    Attributes:
        size: Pixels along a side of the square that frames are fitted into, or `Within` where they keep their shape.
        tokens: Language-model tokens of a frame. Where frames differ in tokens: the usual number.
        mean: Mean of the normalisation, after rescaling by 1/255.
        std: Standard deviation of the normalisation.
        crop: Whether the square is the frame's middle, and not the whole frame with black bars.
    """

    size: int | Within
    tokens: int
    mean: Channels = 0.5
    std: Channels = 0.5
    crop: bool = False

    @property
    def fit(self) -> FrameSize:
        """How frames are fitted, as `mmduet.video.iter_frames` takes it."""
        return CenterCrop(self.size) if self.crop and isinstance(self.size, int) else self.size


Mean = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]


class _Frame(BaseModel):
    """`FrameSettings` in a file."""

    model_config = ConfigDict(extra="forbid")
    size: Annotated[int, Field(ge=1, le=4096, strict=True)]
    tokens: Annotated[int, Field(ge=1, le=4096, strict=True)]
    mean: Mean | tuple[Mean, Mean, Mean] = 0.5
    std: Deviation | tuple[Deviation, Deviation, Deviation] = 0.5
    crop: Annotated[bool, Field(strict=True)] = False


class ProcessorFile(BaseModel):
    """The file that `mmduet.model.processing.DuetProcessor.save_pretrained` writes."""

    model_config = ConfigDict(strict=True)
    frame: _Frame
    system_prompt: str
