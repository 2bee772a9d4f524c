"""QwenVLProcessor: frames to patches by transformers' own image processor, and the conversation of MMDuet2."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import BaseModel, Field, FiniteFloat
from transformers import PreTrainedTokenizerBase
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmduet.errors import CheckpointError, DuetError
from mmduet.files.config_files import checked, read_settings, understanding
from mmduet.model.frame_settings import FrameSettings
from mmduet.model.losses import IGNORE
from mmduet.model.processing import DuetProcessor, EncodedConversation
from mmduet.model.prompt import SYSTEM_PROMPT, ChatFormat, StreamTurn, TextTurn, Turn
from mmduet.model.tokenizer import load_tokenizer
from mmduet.video import Within

IMAGES_FILE = "preprocessor_config.json"
JOINT_FILE = "processor_config.json"  # transformers 5 writes the image processor's fields into it, as image_processor
LARGEST_FRAME = Within(640)  # MMDuet2's demo
FRAMES_PER_TURN = 2  # as in MMDuet2's demo
USUAL_TOKENS = 180  # of a frame in MMDuet2's training
CHAT = ChatFormat(image="<|image_pad|>", frame_start="<|vision_start|>", frame_end="<|vision_end|>")
SYSTEM_PROMPTS = {
    "words": (
        "You are a helpful assistant. Your task is to answer questions based on continuously incoming video frames. "
        "Your responses should include information from the video since your last reply (if any). If the information "
        'in this segment of the video cannot answer the question, output "NO REPLY".'
    ),
    "heads": SYSTEM_PROMPT,
}


Pixels = Annotated[int, Field(ge=1, le=2**30, strict=True)]
Side = Annotated[int, Field(ge=1, le=64, strict=True)]
Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Images(BaseModel):
    """The fields of a preprocessor_config.json that count; those that are missing have transformers' defaults."""

    size: dict[Literal["shortest_edge", "longest_edge", "min_pixels", "max_pixels"], Pixels] | None = None
    min_pixels: Pixels | None = None
    max_pixels: Pixels | None = None
    resample: Annotated[int, Field(ge=0, le=5, strict=True)] | None = None
    rescale_factor: Deviation | None = None
    image_mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    image_std: tuple[Deviation, Deviation, Deviation] | None = None
    patch_size: Side | None = None
    temporal_patch_size: Side | None = None
    merge_size: Side | None = None

    def arguments(self) -> dict[str, Any]:
        """The image processor's arguments. Earlier transformers versions wrote min_pixels and max_pixels into size."""
        size = dict(self.size or {})
        within = {name: value for name in ("min_pixels", "max_pixels") if (value := size.pop(name, None))}
        given = self.model_dump(exclude_none=True, exclude={"size"})
        return {**within, **given, **({"size": size} if size else {})}


class QwenVLProcessor(DuetProcessor):
    """Everything between raw input and tensors of a Qwen2.5-VL."""

    silence: ClassVar[str] = "NO REPLY"
    must_reply: ClassVar[str] = "I must reply.\n"

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        images: Qwen2VLImageProcessorPil,
        *,
        decides: Literal["heads", "words"] = "words",
    ):
        """Combine a tokenizer and an image processor, for a model that decides by heads or in words."""
        self.images, self.decides, self.frames_per_turn = images, decides, FRAMES_PER_TURN
        super().__init__(tokenizer, self._frame(), system_prompt=SYSTEM_PROMPTS[decides], chat=CHAT)

    def pixel_values(self, frames: torch.Tensor) -> torch.Tensor:
        """Turn uint8 [N, 3, H, W] into float32 [N, rows, columns, patches, values].

        Rows and columns are the frame's tokens; patches are the pieces of a frame that are merged into one token. Sides
        are rounded to whole tokens within the image processor's fewest and most pixels.

        Raises:
            DuetError: The frames have another type or shape, or one side is more than 200 times the other.
        """
        if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[1] != 3:
            raise DuetError(f"frames are {frames.dtype} {tuple(frames.shape)}; give uint8 [N, 3, H, W], RGB.")
        try:
            found = self.images([*frames.cpu().numpy()], return_tensors="pt", input_data_format="channels_first")
        except ValueError as error:
            raise DuetError(f"frames of {frames.shape[3]}x{frames.shape[2]} pixels are not read: {error}.") from error
        merge, (_, rows, columns) = self.images.merge_size, found["image_grid_thw"][0].tolist()
        shape = (len(frames), rows // merge, columns // merge, merge**2, -1)
        return found["pixel_values"].view(shape).to(frames.device)

    def frame_counts(self, pixel_values: torch.Tensor) -> list[int]:
        """As `DuetProcessor.frame_counts`."""
        frames, rows, columns = pixel_values.shape[:3]
        return [rows * columns] * frames

    def joined(self, pixel_values: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """As `DuetProcessor.joined`: all patches, and each frame's grid. Videos differ in frame size."""
        merge = self.images.merge_size
        grids = [[1, len(frame) * merge, frame.shape[1] * merge] for video in pixel_values for frame in video]
        patches = torch.cat([video.flatten(0, 3) for video in pixel_values])
        return {"pixel_values": patches, "image_grid_thw": torch.tensor(grids)}

    def encode(self, turns: Sequence[Turn], *, frame_tokens: Sequence[int] | None = None) -> EncodedConversation:
        """As `DuetProcessor.encode`. For a model that decides in words every user turn has its answer.

        A user turn has `frames_per_turn` frames, and the words that the user says while they are seen. Its answer is
        what the assistant says while they are seen, or silence; silence is learnt, too.
        """
        if self.decides == "heads":
            return super().encode(turns, frame_tokens=frame_tokens)
        counts = list(frame_tokens or [])
        parts: dict[str, list[int]] = {"input_ids": [], "labels": []}
        self._add(parts, self.render_turn(self.system_turn()), learn=False)
        for first, user, answer, learn in in_pieces(turns, len(counts), self.frames_per_turn, self.silence):
            frames = counts[first : first + self.frames_per_turn]
            opening = (
                self.chat.join + self.chat.open_turn("user") + self.chat.render_frames(frames) + user + self.chat.end
            )
            self._add(parts, opening + self.chat.join + self.chat.open_turn("assistant"), learn=False)
            self._add(parts, answer + self.chat.end, learn=learn)
        ids, labels = (torch.tensor(parts[name]) for name in ("input_ids", "labels"))
        none = torch.full_like(labels, IGNORE)
        return EncodedConversation(ids, labels, none, none)

    def _add(self, parts: dict[str, list[int]], text: str, *, learn: bool) -> None:
        ids = self.ids(text)
        parts["input_ids"] += ids
        parts["labels"] += ids if learn else [IGNORE] * len(ids)

    def set_max_pixels(self, pixels: int) -> None:
        """Set the most pixels of a frame; fewer tokens are less exact and faster.

        Raises:
            DuetError: Less than one token.
        """
        least = (self.images.patch_size * self.images.merge_size) ** 2
        if pixels < least:
            raise DuetError(f"max_pixels={pixels}: one token of a frame has {least} pixels: give at least that.")
        fewest = min(self.images.size["shortest_edge"], pixels)
        self.images.size = {"shortest_edge": fewest, "longest_edge": pixels}
        self.frame = self._frame()

    def set_frames_per_turn(self, frames: int) -> None:
        """Set the frames of a user's turn in training conversations."""
        if self.decides == "heads":
            return super().set_frames_per_turn(frames)
        self.frames_per_turn = frames

    def settings(self) -> dict[str, Any]:
        """As `DuetProcessor.settings`."""
        size = {"min_pixels": self.images.size["shortest_edge"], "max_pixels": self.images.size["longest_edge"]}
        return super().settings() | size | {"frames_per_turn": self.frames_per_turn}

    def _frame(self) -> FrameSettings:
        most = self.images.size["longest_edge"] // (self.images.patch_size * self.images.merge_size) ** 2
        return FrameSettings(size=LARGEST_FRAME, tokens=max(1, min(USUAL_TOKENS, most)))

    # files

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the tokenizer's and the image processor's files, as transformers has them."""
        self.tokenizer.save_pretrained(folder)
        self.images.save_pretrained(folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path, decides: Literal["heads", "words"] = "words") -> "QwenVLProcessor":
        """Read a checkpoint's tokenizer and image processor.

        Raises:
            CheckpointError: A file is missing or damaged.
        """
        path, joint = Path(folder) / IMAGES_FILE, Path(folder) / JOINT_FILE
        if path.is_file():
            fields: Any = read_settings(path)
        elif joint.is_file() and "image_processor" in (fields := read_settings(joint)):
            path, fields = joint, fields["image_processor"]
        else:
            raise CheckpointError(f"{folder} has no {IMAGES_FILE}: put the base model's there.")
        settings = checked(path, _Images, fields)
        tokenizer = load_tokenizer(Path(folder))
        with understanding(path):
            images = Qwen2VLImageProcessorPil(**settings.arguments())
        return cls(tokenizer, images, decides=decides)


def in_pieces(turns: Sequence[Turn], frames: int, per_turn: int, silence: str) -> Iterator[tuple[int, str, str, bool]]:
    """Yield the user turns of a conversation that is answered in words.

    Words after c frames belong to the piece that is seen then: the user's to that of the next frame, the assistant's to
    that of the last one.

    Args:
        turns: The conversation.
        frames: Its number of frames.
        per_turn: Frames of a user turn; the last one may have fewer.
        silence: The answer where the assistant says nothing.

    Yields:
        First frame, the user's words, the answer, and whether the answer is learnt.
    """
    count = max(1, -(-frames // per_turn))
    said: list[list[TextTurn]] = [[] for _ in range(count)]
    seen = 0
    for turn in turns:
        if isinstance(turn, StreamTurn):
            seen += turn.frames
        else:
            at = seen if turn.role == "user" else seen - 1
            said[min(max(at, 0) // per_turn, count - 1)].append(turn)
    for index, words in enumerate(said):
        user = "\n".join(turn.text for turn in words if turn.role == "user")
        answers = [turn for turn in words if turn.role == "assistant"]
        answer = " ".join(turn.text for turn in answers) or silence
        yield index * per_turn, user, answer, all(turn.learn for turn in answers)


def agreement(config: Any, processor: QwenVLProcessor) -> Sequence[tuple[str, Any, Any]]:
    """List what config.json and the processor's files both state: a name, the processor's value, the config's."""
    vision, images = config.vision_config, processor.images
    return (
        ("pixels a patch", images.patch_size, vision.patch_size),
        ("patches a token", images.merge_size, vision.spatial_merge_size),
        ("frames a patch", images.temporal_patch_size, vision.temporal_patch_size),
        ("the image token", processor.image_id, config.image_token_id),
    )


LARGEST_PATCH = 64  # pixels


def check_config(path: Path, config: Any) -> None:
    """Raise CheckpointError where a config's patches are out of range. path: of the config.json."""
    with understanding(path):
        vision = config.vision_config
        sizes = {
            "patch_size": vision.patch_size,
            "spatial_merge_size": vision.spatial_merge_size,
            "temporal_patch_size": vision.temporal_patch_size,
        }
    for name, size in sizes.items():
        if type(size) is not int or not 1 <= size <= LARGEST_PATCH:
            raise CheckpointError(f"{path}: {name}={size!r} is not read: it is a number from 1 to {LARGEST_PATCH}.")
