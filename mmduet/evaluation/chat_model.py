"""A chat model that answers a question about frames: any image-text-to-text model of transformers with a chat template.

Frames enter as images, in the order of time, before the text. So every such model can be asked, and the preprocessing
is the checkpoint's own in its PIL form. transformers' video processors need torchvision, which this project does not
use: the processor is built from its parts without one. No code of a checkpoint is run, and pickled weights are not
read.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from PIL import Image
from transformers import (
    CONFIG_MAPPING,
    PROCESSOR_MAPPING,
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    LogitsProcessorList,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from mmduet.checkpoints.hub import find_folder
from mmduet.checkpoints.weights import check_finite, read_headers
from mmduet.errors import CheckpointError, DuetError
from mmduet.files.config_files import read_config, read_settings, understanding
from mmduet.model.tokenizer import load_tokenizer
from mmduet.system.devices import choose_device, choose_dtype, enough_memory

SAMPLED = 64  # numbers of each weight that the digest reads
SMALL_FILES = ["*.json", "*.jinja", "*.txt", "*.model"]
ADAPTER = "adapter_config.json"  # transformers would put the adapter on the model
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json", "chat_template.json", "generation_config.json")
# parts of a processor besides the tokenizer
PARTS: dict[str, tuple[Any, dict[str, str]]] = {
    "image_processor": (AutoImageProcessor, {"backend": "pil"}),
    "feature_extractor": (AutoFeatureExtractor, {}),
}


class ChatModel:
    """A model with its processor.

    Args:
        model: An image-text-to-text model, in evaluation mode.
        processor: Its processor, with a chat template.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        special = [token.content for token in processor.tokenizer.added_tokens_decoder.values() if token.special]
        media = [getattr(processor, f"{kind}_token", None) for kind in ("image", "video")]
        self._tokens = [token for token in (*special, *media) if token]

    @torch.inference_mode()
    def ask(self, frames: torch.Tensor, text: str, *, max_new_tokens: int) -> str:
        """Ask one question. The answer is decoded greedily, with the checkpoint's other generation settings.

        Args:
            frames: uint8 [N, 3, H, W], RGB.
            text: The question.
            max_new_tokens: Maximum tokens of the answer.

        Returns:
            The answer, without special tokens and the blanks around it.

        Raises:
            DuetError: The text holds a token of the prompt, frames and answer do not fit into the model's context,
                the logits are NaN or infinite, or the device's memory is full.
        """
        text.encode()  # refuses a lone surrogate
        if held := [token for token in self._tokens if token in text]:
            raise DuetError(f"the text {text!r} holds {held[0]!r}, a token of the prompt: remove it.")
        inputs = render(self.processor, frames, text)
        length = inputs["input_ids"].shape[1]
        self._check_room(len(frames), length, max_new_tokens)
        with enough_memory("lower max_frames or frame_size, or load the model with dtype='bfloat16'"):
            output = self.model.generate(
                **inputs.to(self.model.device, dtype=self.model.dtype), max_new_tokens=max_new_tokens,
                do_sample=False, temperature=None, top_p=None, top_k=None,
                logits_processor=LogitsProcessorList([_check_logits]),
                pad_token_id=self.processor.tokenizer.pad_token_id,
            )  # fmt: skip
        answer: str = self.processor.tokenizer.decode(
            output[0, length:], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return answer.strip()

    def _check_room(self, frames: int, length: int, max_new_tokens: int) -> None:
        room = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if room is not None and length + max_new_tokens > room:
            raise DuetError(
                f"{frames} frames and the text are {length} tokens, and the answer may have {max_new_tokens}; the "
                f"model's context has {room}: lower max_frames or max_new_tokens."
            )

    @property
    def weights(self) -> str:
        """SHA-256 (its first 16 digits) of the first numbers of every weight."""
        digest = hashlib.sha256()
        for name, value in sorted(self.model.named_parameters()):
            numbers = value.detach().flatten()[:SAMPLED].float().cpu().numpy()
            digest.update(name.encode() + numbers.tobytes())
        return digest.hexdigest()[:16]


def render(processor: Any, frames: torch.Tensor, text: str) -> Any:
    """The inputs of a model: one user turn with frames and a text, and the start of the assistant's turn.

    Args:
        processor: A processor with a chat template.
        frames: uint8 [N, 3, H, W], RGB.
        text: The text after the frames.

    Returns:
        A BatchFeature with ``input_ids`` int64 [1, length] and the preprocessed images.
    """
    images = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in frames]
    content = [*({"type": "image", "image": image} for image in images), {"type": "text", "text": text}]
    return processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
    )  # fmt: skip


def _check_logits(_: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """A logits processor that changes nothing. A token that is never generated has a logit of -inf."""
    if not logits.amax().isfinite():
        raise DuetError("the logits are NaN or infinite: load the model in another dtype, or check its weights.")
    return logits


# loading


def load_chat_model(name: str | Path, *, dtype: str | torch.dtype = "auto", device: str = "auto") -> ChatModel:
    """Load a chat model and its processor. Everything else is checked before the weights are downloaded or read.

    Args:
        name: A folder, or a hub id.
        dtype: Of the weights. ``auto``: bfloat16 on a GPU, float32 on a CPU.
        device: ``auto``: a GPU if there is one, else the CPU.

    Raises:
        CheckpointError: The checkpoint is missing, damaged or incomplete, is no image-text-to-text model, has no chat
            template, or takes no question with several images.
        DuetError: A dtype or device is unknown, missing or too small.
    """
    place = choose_device(device)
    precision = choose_dtype(dtype, place)
    folder = _small_files(name)
    config = _read_config(folder)
    processor = _read_processor(folder, config)
    folder = find_folder(name)
    if (folder / ADAPTER).exists():
        raise CheckpointError(f"{folder} has an {ADAPTER}: merge the adapter into its model, and give the whole model.")
    read_headers(folder, "model")
    with understanding(folder), enough_memory("let other models go, or give dtype='bfloat16', or another device"):
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            str(folder), config=config, dtype=precision, device_map={"": place}, use_safetensors=True,
            trust_remote_code=False, output_loading_info=True,
        )  # fmt: skip
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise CheckpointError(f"{folder}: not found in the checkpoint: {', '.join(missing)}. Download it again.")
    check_finite(model.named_parameters(), str(folder))
    return ChatModel(model.eval(), processor)


def _small_files(name: str | Path) -> Path:
    """The folder of a checkpoint, or of a hub id's files without the weights."""
    if Path(name).is_dir():
        return Path(name)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(name)):
        raise CheckpointError(
            f"{str(name)!r} is no folder and no hub id (owner/name): give a chat model; duet models are asked with "
            "`mmduet predict`."
        )
    try:
        return Path(snapshot_download(str(name), allow_patterns=SMALL_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{name} is no local folder, and the hub cannot be reached ({type(error).__name__}): download it on a "
            "machine with a network, and give its folder."
        ) from error


def _read_config(folder: Path) -> Any:
    raw = read_config(folder)
    kind = str(raw.get("model_type"))
    if kind not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise CheckpointError(
            f"{folder} is of type {kind!r}, which is no image-text-to-text model of transformers: give one, such as "
            "llava-hf/llava-onevision-qwen2-7b-ov-hf."
        )
    with understanding(folder / "config.json"):
        config = CONFIG_MAPPING[kind].from_dict(raw)  # not from the file, which may name an attention of a hub
    if config.is_encoder_decoder or type(config) not in PROCESSOR_MAPPING:
        raise CheckpointError(f"{folder} is of type {kind!r}, which is no chat model: give a chat model.")
    return config


def _read_processor(folder: Path, config: Any) -> Any:
    for path in filter(Path.is_file, (folder / file for file in PROCESSOR_FILES)):
        read_settings(path)  # refuses code
    kind: Any = PROCESSOR_MAPPING[type(config)]
    with understanding(folder / PROCESSOR_FILES[0]):
        parts = [_read_part(folder, part) for part in kind.get_attributes()]
        stated, _ = kind.get_processor_dict(str(folder))
        processor = _without_videos(kind).from_args_and_dict(parts, stated)
    if processor.chat_template is None:
        raise CheckpointError(f"{folder} has no chat template: give a chat model.")
    try:
        render(processor, torch.zeros(2, 3, 64, 64, dtype=torch.uint8), "What?")
    except Exception as error:  # templates and processors raise all kinds of errors
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{folder}: its chat template takes no question with several images ({reason}): give a model that does."
        ) from error
    return processor


def _read_part(folder: Path, part: str) -> Any:
    """A part of a processor. There is no video processor: frames are images."""
    if part == "video_processor":
        return None
    if part == "tokenizer":
        return load_tokenizer(folder)
    if part not in PARTS:
        raise CheckpointError(f"{folder}: its processor has a {part}, which no chat model has: give a chat model.")
    kind, options = PARTS[part]
    return kind.from_pretrained(str(folder), trust_remote_code=False, **options)


def _without_videos(kind: Any) -> Any:
    """A kind of processor that may lack a part."""

    class Processor(kind):  # type: ignore[misc]  # a class that is known when it is called
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            return argument if argument is None else super().check_argument_for_proper_class(argument_name, argument)

    return Processor
