"""QwenVLProcessor: frames to patches by transformers' own image processor, and the conversation of MMDuet2."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from transformers import PreTrainedTokenizerBase
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmduet.errors import CheckpointError, DuetError
from mmduet.files.config_files import read_settings, understanding
from mmduet.model.processing import DuetProcessor, FrameSettings, load_tokenizer
from mmduet.model.prompt import SYSTEM_PROMPT, ChatFormat
from mmduet.video import Within

IMAGES_FILE = "preprocessor_config.json"
LARGEST_FRAME = Within(640)  # MMDuet2's demo
USUAL_TOKENS = 180  # of a frame in MMDuet2's training
CHAT = ChatFormat(image="<|image_pad|>", frame_start="<|vision_start|>", frame_end="<|vision_end|>")
IMAGE_SETTINGS = (
    "do_resize", "size", "min_pixels", "max_pixels", "resample", "do_rescale", "rescale_factor", "do_normalize",
    "image_mean", "image_std", "patch_size", "temporal_patch_size", "merge_size",
)  # fmt: skip
SYSTEM_PROMPTS = {
    "words": (
        "You are a helpful assistant. Your task is to answer questions based on continuously incoming video frames. "
        "Your responses should include information from the video since your last reply (if any). If the information "
        'in this segment of the video cannot answer the question, output "NO REPLY".'
    ),
    "heads": SYSTEM_PROMPT,
}


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
        most = images.size["longest_edge"] // (images.patch_size * images.merge_size) ** 2
        frame = FrameSettings(size=LARGEST_FRAME, tokens=max(1, min(USUAL_TOKENS, most)))
        super().__init__(tokenizer, frame, system_prompt=SYSTEM_PROMPTS[decides], chat=CHAT)
        self.images = images

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

    def frame_tokens(self, height: int, width: int) -> int:
        """Return the image tokens of a frame of this many pixels."""
        return self.images.get_number_of_image_patches(height, width) // self.images.merge_size**2

    def with_pixels(self, fewest: int | None, most: int | None) -> None:
        """Set the bounds of a frame's pixels; None leaves a bound as it is."""
        size = {"shortest_edge": fewest, "longest_edge": most}
        self.images.size = {**dict(self.images.size), **{name: value for name, value in size.items() if value}}

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
        path = Path(folder) / IMAGES_FILE
        if not path.is_file():
            raise CheckpointError(f"{folder} has no {IMAGES_FILE}: put the base model's there.")
        settings: dict[str, Any] = read_settings(path)
        tokenizer = load_tokenizer(Path(folder))
        with understanding(path):
            images = Qwen2VLImageProcessorPil(**{name: settings[name] for name in IMAGE_SETTINGS if name in settings})
        return cls(tokenizer, images, decides=decides)


def check_agreement(folder: Path, config: Any, processor: QwenVLProcessor) -> None:
    """Raise CheckpointError where config.json and the processor's files are of different checkpoints."""
    vision, images = config.vision_config, processor.images
    found: Sequence[tuple[str, Any, Any]] = (
        ("pixels a patch", images.patch_size, vision.patch_size),
        ("patches a token", images.merge_size, vision.spatial_merge_size),
        ("frames a patch", images.temporal_patch_size, vision.temporal_patch_size),
        ("the image token", processor.image_id, config.image_token_id),
    )
    for what, by_files, by_config in found:
        if by_files != by_config:
            raise CheckpointError(
                f"{folder}: {what}: {by_files} by the processor's files, {by_config} by config.json: they are of "
                "different checkpoints."
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
