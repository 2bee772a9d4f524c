"""Frame-input files: MMDuet2's published test files, which list every user turn with its frames as images.

A JSON list of ``{question_id, conversation: [{role, content}]}``. A user's content is a text, or a list of
``{type: image, image: PATH}`` and then ``{type: text, text: TEXT}``. ``skip_inference: true`` marks a turn that gets no
answer, ``must_reply: true`` one whose answer may not be silence. The frame interval is not in the file.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr

from mmduet.errors import VideoError
from mmduet.evaluation.benchmark import Question
from mmduet.evaluation.items import read_items
from mmduet.files import inside, read_json
from mmduet.trace import UserTurn
from mmduet.video import FrameSize, fit_frames
from mmduet.video.pictures import read_picture


class _Image(BaseModel):
    type: Literal["image"]
    image: StrictStr


class _Text(BaseModel):
    type: Literal["text"]
    text: StrictStr


class _Turn(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: StrictStr | list[Annotated[_Image | _Text, Field(discriminator="type")]]
    skip_inference: StrictBool = False
    must_reply: StrictBool = False


class FrameInputItem(BaseModel):
    """A question: its user turns in order. Turns of another role are the published reference, and are not asked."""

    question_id: StrictInt | StrictStr
    conversation: Annotated[list[_Turn], Field(min_length=1)]


def is_frame_input(path: str | Path) -> bool:
    """Whether a test file lists the frames of its turns."""
    if Path(path).suffix == ".jsonl":
        return False
    content = read_json(path)
    first = content[0] if isinstance(content, list) and content else None
    turns = first.get("conversation") if isinstance(first, dict) else None
    contents = [turn.get("content") for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []
    return any(isinstance(content, list) for content in contents)


def read_frame_input(path: str | Path) -> list[Question]:
    """Read the questions of a frame-input file.

    Raises:
        AnnotationError: An entry is of another form; the message names the file, the entry and the field.
    """
    return [_question(item) for item in read_items(path, FrameInputItem).values()]


def _question(item: FrameInputItem) -> Question:
    turns, images = list[UserTurn](), list[str]()
    for turn in item.conversation:
        if turn.role != "user":
            continue
        parts = [_Text(type="text", text=turn.content)] if isinstance(turn.content, str) else turn.content
        own = [part.image for part in parts if isinstance(part, _Image)]
        text = "\n".join(part.text for part in parts if isinstance(part, _Text))
        turns.append(UserTurn(len(own), text, turn.skip_inference, turn.must_reply))
        images += own
    return Question(item.question_id, "", (), tuple(turns), tuple(images))


def read_images(names: tuple[str, ...], folder: Path, size: FrameSize) -> Iterator[torch.Tensor]:
    """Read frames from image files, uint8 [1, 3, H, W] each.

    Raises:
        VideoError: An image leads out of the folder, is missing, or cannot be read (`read_picture`).
    """
    for name in names:
        path = inside(folder, name)
        if path is None:
            raise VideoError(f"image {name!r} leads out of {folder}: give its path in that folder.")
        pixels = torch.from_numpy(np.array(read_picture(path)))
        yield fit_frames(pixels.permute(2, 0, 1)[None], size)
