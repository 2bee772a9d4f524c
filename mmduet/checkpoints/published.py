"""The published layouts, LLaVA-NeXT's and llava-hf's: configs, processors and names of tensors."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, cast

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers import CONFIG_MAPPING, AutoConfig, SiglipVisionConfig

from mmduet.checkpoints.hub import find_folder
from mmduet.checkpoints.weights import Header, read_headers
from mmduet.errors import CheckpointError
from mmduet.files import inside
from mmduet.files.config_files import read_config, understanding
from mmduet.model.duet import DuetConfig
from mmduet.model.frame_settings import FrameSettings
from mmduet.model.processing import DuetProcessor
from mmduet.model.prompt import IM_END, IM_START, IMAGE
from mmduet.model.tokenizer import load_tokenizer

POOL_STRIDE = 4  # the published model's, for configs without one
UNUSED = {
    r"image_newline": "it separates rows of image patches; a frame has none",
    r"post_layernorm\.": "the features are taken before the tower's final layer norm",
    r"^vision_tower\.model\.head\.": "the tower's pooling head is not part of the model",
    r"position_ids$": "positions are computed, not stored",
    r"rotary_emb\.inv_freq$": "it is computed from the config",
}
SIGLIP = (
    r"(?=(?:embeddings|encoder|post_layernorm|head)\.)"  # its parts, which transformers 5 writes without vision_model
)
# this project's name of a tensor, from either layout's
RENAMED = (
    (
        rf"^(?:base_model\.model\.)?(?:model\.)?vision_tower\.(?:vision_tower\.)?(?:vision_model\.|{SIGLIP})",
        "vision_tower.model.",
    ),
    (r"^(?:model\.)?mm_projector\.(?=weight|bias)", "projector.0."),
    (r"^(?:model\.)?mm_projector\.", "projector."),
    (r"^(?:model\.)?multi_modal_projector\.linear_1\.", "projector.0."),
    (r"^(?:model\.)?multi_modal_projector\.linear_2\.", "projector.2."),
    (r"^model\.language_model\.(?=embed_tokens|layers|norm)", "language_model.model."),
    (r"^language_model\.model\.", "language_model.model."),
    (r"^language_model\.lm_head\.", "language_model.lm_head."),
    (r"^model\.(?=embed_tokens|layers|norm)", "language_model.model."),
    (r"^lm_head\.", "language_model.lm_head."),
    (r"^response_head\.", "informative_head."),
    (r"^related_head\.", "relevance_head."),
)


def our_name(name: str) -> str:
    """Return the name of a published tensor in this project's model."""
    for pattern, ours in RENAMED:
        renamed, count = re.subn(pattern, ours, name)
        if count:
            return renamed
    return name


def is_published(config: Mapping[str, Any]) -> bool:
    """Whether a config.json has one of the published layouts."""
    return "mm_vision_tower" in config or config.get("model_type") == "llava_onevision"


def published_config(folder: Path) -> DuetConfig:
    """Convert a published config.json. `published_processor` sets image_token_id.

    Raises:
        CheckpointError: The file is damaged, or its vision tower is not found.
    """
    raw = read_config(folder)
    with understanding(folder / "config.json"):
        if raw.get("model_type") == "llava_onevision":
            return _llava_hf_config(raw)
        return _llava_next_config(raw, folder)


def _llava_next_config(raw: dict[str, Any], folder: Path) -> DuetConfig:
    """The language model's settings and the mm_ ones are in one file, the tower's in another."""
    text = _text_config({key: value for key, value in raw.items() if not key.startswith("mm_")})
    return DuetConfig(
        text_config=text,
        vision_config=_drop_last_layer(_tower_config(raw["mm_vision_tower"], folder), -2),
        image_token_id=raw["vocab_size"],
        projector_type=raw.get("mm_projector_type", "linear"),
        pool_mode=raw.get("mm_spatial_pool_mode", "bilinear"),
        pool_stride=raw.get("video_pooling_stride", raw.get("mm_spatial_pool_stride", POOL_STRIDE)),
        tie_word_embeddings=text.tie_word_embeddings,
    )


def _text_config(raw: dict[str, Any]) -> Any:
    """A causal LM's config; LLaVA-NeXT names its types llava_qwen, llava_llama and so on."""
    kind = {"llava_qwen": "qwen2", "llava": "llama"}.get(raw["model_type"], raw["model_type"].removeprefix("llava_"))
    settings = {key: value for key, value in raw.items() if key not in ("model_type", "architectures", "torch_dtype")}
    if kind not in CONFIG_MAPPING:
        raise CheckpointError(f"language model {raw['model_type']!r} is not one that transformers knows.")
    return AutoConfig.for_model(kind, **settings)


def _llava_hf_config(raw: dict[str, Any]) -> DuetConfig:
    text = _text_config({"model_type": "qwen2", **raw["text_config"]})
    return DuetConfig(
        text_config=text,
        vision_config=_drop_last_layer(_siglip(raw["vision_config"]), raw.get("vision_feature_layer", -1)),
        image_token_id=text.vocab_size,
        pool_stride=POOL_STRIDE,
        tie_word_embeddings=raw.get("tie_word_embeddings", text.tie_word_embeddings),
    )


def _siglip(raw: dict[str, Any]) -> SiglipVisionConfig:
    """A SigLIP tower's settings, or those of a SigLIP of which it is a part."""
    section = raw.get("vision_config", raw)
    kind = section.get("model_type", "siglip_vision_model")
    if kind not in ("siglip", "siglip_vision_model"):
        raise CheckpointError(f"vision tower {kind!r} is not read: published layouts are read with SigLIP's.")
    return SiglipVisionConfig(**{key: value for key, value in section.items() if key != "model_type"})


def _drop_last_layer(vision: SiglipVisionConfig, feature_layer: int) -> SiglipVisionConfig:
    """feature_layer counts from the end of the layers' outputs: -1 is the last."""
    if not -vision.num_hidden_layers <= feature_layer <= -1:
        raise CheckpointError(
            f"vision_feature_layer={feature_layer}, of a tower of {vision.num_hidden_layers} layers, is not read: it "
            "counts from the end, -1 for the last layer."
        )
    vision.num_hidden_layers += 1 + feature_layer
    return vision


def _tower_folder(tower: str, folder: Path) -> Path | None:
    """A tower's folder, next to the base or in it; None when it must come from the hub.

    Of a path on the machine where the base was trained, only the last name counts.
    """
    names = (tower, PurePath(tower).name)
    places = [inside(root, name) for name in names for root in (folder.parent, folder)]
    return next((place for place in places if place and (place / "config.json").is_file()), None)


def _tower_config(tower: str, folder: Path) -> SiglipVisionConfig:
    found = _tower_folder(tower, folder)
    try:
        place = found or Path(hf_hub_download(tower, "config.json")).parent
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise CheckpointError(
            f"the vision tower {tower!r} of {folder} is not next to it, and the hub cannot be reached: put its "
            f"folder at {folder.parent / PurePath(tower).name}."
        ) from error
    raw = read_config(place)
    with understanding(place / "config.json"):
        return _siglip(raw)


def published_processor(folder: Path, config: DuetConfig) -> DuetProcessor:
    """Make the processor of a published checkpoint, and set the config's image token."""
    tokenizer = load_tokenizer(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    tokenizer.bos_token, tokenizer.eos_token = IM_START, IM_END
    config.image_token_id = cast(int, tokenizer.convert_tokens_to_ids(IMAGE))
    frame = FrameSettings(size=config.vision_config.image_size, tokens=config.tokens_per_frame)
    return DuetProcessor(tokenizer, frame)


def why_unused(name: str, layers: int) -> str:
    """Return why a published tensor is not used; empty where it is.

    Args:
        name: This project's name of the tensor.
        layers: The layers of the vision tower that are used.
    """
    for pattern, reason in UNUSED.items():
        if re.search(pattern, name):
            return reason
    layer = re.match(r"vision_tower\.model\.encoder\.layers\.(\d+)\.", name)
    return "the tower's last layer is not read" if layer and int(layer[1]) >= layers else ""


def tower_headers(folder: Path) -> dict[str, Header]:
    """Return the tensors of a vision tower that the base does not contain."""
    tower = read_config(folder).get("mm_vision_tower")
    if tower is None:
        raise CheckpointError(f"{folder} has no tensors of a vision tower: the download is incomplete.")
    headers = read_headers(_tower_folder(tower, folder) or find_folder(tower), "model")
    return {
        f"vision_tower.{name}": header
        for name, header in headers.items()
        if re.match(rf"vision_model\.|{SIGLIP}", name)
    }
