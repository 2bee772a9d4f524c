"""Published checkpoint layouts, LLaVA-NeXT's and llava-hf's, read into this project's model.

Every tensor of the files is used, or named in `LoadReport` with the reason why not; every parameter of the model is
loaded, or named there.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, SiglipVisionConfig

from mmduet.conversation import IM_END, IM_START, IMAGE
from mmduet.errors import CheckpointError
from mmduet.model import HEAD_NAMES, DuetConfig, DuetForConditionalGeneration
from mmduet.processing import DuetProcessor, FrameSettings

POOL_STRIDE = 4  # the published model's, where a config does not say
UNUSED = {
    r"image_newline": "it parts rows of image patches; a frame here has none",
    r"post_layernorm\.": "the features are taken before the tower's final layer norm",
    r"vision_model\.head\.": "the tower's pooling head is not part of the model",
    r"position_ids$": "positions are counted, not stored",
    r"rotary_emb\.inv_freq$": "it follows from the config",
}
# this project's name of a tensor, from either layout's
RENAMED = (
    (r"^(?:base_model\.model\.)?model\.vision_tower\.vision_tower\.vision_model\.", "vision_tower.model."),
    (r"^(?:model\.)?vision_tower\.vision_model\.", "vision_tower.model."),
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


@dataclass(slots=True)
class LoadReport:
    """unused: tensor of the files -> why it is not used. missing: parameters that no file had."""

    unused: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def our_name(name: str) -> str:
    """The name a published tensor has in this project's model; unchanged where it has no other."""
    for pattern, ours in RENAMED:
        renamed, count = re.subn(pattern, ours, name)
        if count:
            return renamed
    return name


def is_published(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is of one of the published layouts."""
    return "mm_vision_tower" in config or config.get("model_type") == "llava_onevision"


def find_folder(name: str | Path) -> Path:
    """A local folder as it is; a hub id's snapshot, fetched once.

    Raises CheckpointError when it is neither, or the hub cannot be reached.
    """
    if Path(name).is_dir():
        return Path(name)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(name)):
        raise CheckpointError(f"{str(name)!r} is no folder and no hub id (owner/name).")
    try:
        return Path(snapshot_download(str(name), allow_patterns=["*.json", "*.safetensors", "*.txt", "*.bin"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{name} is no folder here, and the hub cannot be asked for it ({type(error).__name__}): download it where "
            "there is a network and give its folder."
        ) from error


def tensor_files(folder: Path, stem: str) -> list[Path]:
    """The safetensors files of a checkpoint, one or its shards.

    Raises CheckpointError when there is none, a shard is missing, or there are only pickled weights.
    """
    index = folder / f"{stem}.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise CheckpointError(f"{folder} lacks the shard {missing[0]} that {index.name} lists: download it again.")
        return [folder / name for name in names]
    if (folder / f"{stem}.safetensors").is_file():
        return [folder / f"{stem}.safetensors"]
    pickled = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    if pickled:
        raise CheckpointError(
            f"{folder} has pickled weights ({pickled[0]}), which can run code when read: where you trust them, "
            'convert once with `safetensors.torch.save_file(torch.load(FILE, weights_only=True), "'
            f'{stem}.safetensors")`.'
        )
    raise CheckpointError(f"{folder} has no {stem}.safetensors.")


def read_tensors(files: list[Path]) -> dict[str, torch.Tensor]:
    """All tensors of some safetensors files, mapped rather than copied."""
    tensors = {}
    for path in files:
        with safe_open(path, "pt") as file:
            tensors.update({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (not a dict)
    return tensors


def published_config(folder: Path) -> DuetConfig:
    """A published config.json as this project's."""
    raw = json.loads((folder / "config.json").read_text())
    if raw.get("model_type") == "llava_onevision":
        return _llava_hf_config(raw)
    return _llava_next_config(raw, folder)


def _llava_next_config(raw: dict[str, Any], folder: Path) -> DuetConfig:
    """The language model's settings and the mm_ ones stand side by side; the tower's are elsewhere."""
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
    """A causal LM's config; LLaVA-NeXT calls its own llava_qwen, llava_llama and so on."""
    kind = {"llava_qwen": "qwen2", "llava": "llama"}.get(raw["model_type"], raw["model_type"].removeprefix("llava_"))
    settings = {key: value for key, value in raw.items() if key not in ("model_type", "architectures", "torch_dtype")}
    try:
        return AutoConfig.for_model(kind, **settings)
    except ValueError as error:
        raise CheckpointError(f"language model {raw['model_type']!r} is not one that transformers knows.") from error


def _llava_hf_config(raw: dict[str, Any]) -> DuetConfig:
    text = _text_config({"model_type": "qwen2", **raw["text_config"]})
    vision = SiglipVisionConfig(**raw["vision_config"])
    return DuetConfig(
        text_config=text,
        vision_config=_drop_last_layer(vision, raw.get("vision_feature_layer", -1)),
        image_token_id=text.vocab_size,
        pool_stride=POOL_STRIDE,
        tie_word_embeddings=raw.get("tie_word_embeddings", text.tie_word_embeddings),
    )


def _drop_last_layer(vision: Any, feature_layer: int) -> SiglipVisionConfig:
    """feature_layer counts from the end of the layers' outputs: -1 is the last."""
    vision.num_hidden_layers += 1 + feature_layer
    return vision


def _tower_folder(tower: str, folder: Path) -> Path | None:
    """A tower's folder: as named, beside the base, or in it; None when it must come from the hub."""
    places = (Path(tower), folder.parent / tower, folder / tower)
    return next((place for place in places if (place / "config.json").is_file()), None)


def _tower_config(tower: str, folder: Path) -> PreTrainedConfig:
    found = _tower_folder(tower, folder)
    try:
        config: Any = AutoConfig.from_pretrained(str(found or tower))
    except OSError as error:
        raise CheckpointError(
            f"the vision tower {tower!r} of {folder} is not beside it, and the hub cannot be asked for it: put its "
            f"folder at {folder.parent / Path(tower).name}."
        ) from error
    return getattr(config, "vision_config", config)


def load_published(folder: Path, **loading: Any) -> tuple[DuetForConditionalGeneration, DuetProcessor, LoadReport]:
    """A published base checkpoint; its heads are at random, for an adapter to bring.

    loading: dtype, device_map, attn_implementation, as of transformers' from_pretrained.
    Raises CheckpointError for a tensor that fits nowhere, or a parameter other than a head that no file has.
    """
    config = published_config(folder)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    tokenizer.bos_token, tokenizer.eos_token = IM_START, IM_END
    config.image_token_id = cast(int, tokenizer.convert_tokens_to_ids(IMAGE))
    state, report = _our_state(folder, config)
    loaded: Any = DuetForConditionalGeneration.from_pretrained(
        None, config=config, state_dict=state, output_loading_info=True, **loading
    )
    model, told = loaded
    _check_complete(folder, told, report)
    frame = FrameSettings(size=config.vision_config.image_size, tokens=config.tokens_per_frame)
    return model, DuetProcessor(tokenizer, frame), report


def _our_state(folder: Path, config: DuetConfig) -> tuple[dict[str, torch.Tensor], LoadReport]:
    report, state = LoadReport(), {}
    layers = config.vision_config.num_hidden_layers
    sources = [read_tensors(tensor_files(folder, "model"))]
    if not any("vision_tower" in name for name in sources[0]):
        sources.append(_tower_tensors(folder))
    for tensors in sources:
        for name, value in tensors.items():
            reason = _why_unused(name, layers)
            if reason:
                report.unused[name] = reason
            else:
                state[our_name(name)] = value
    return state, report


def _tower_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Of a base that leaves its tower where it came from."""
    tower = json.loads((folder / "config.json").read_text())["mm_vision_tower"]
    found = _tower_folder(tower, folder) or find_folder(tower)
    tensors = read_tensors(tensor_files(found, "model"))
    return {f"vision_tower.{name}": value for name, value in tensors.items() if name.startswith("vision_model.")}


def _why_unused(name: str, layers: int) -> str:
    for pattern, reason in UNUSED.items():
        if re.search(pattern, name):
            return reason
    layer = re.search(r"vision_model\.encoder\.layers\.(\d+)\.", name)
    return "the tower's last layer is not read" if layer and int(layer[1]) >= layers else ""


def _check_complete(folder: Path, told: Mapping[str, Any], report: LoadReport) -> None:
    if told["unexpected_keys"]:
        raise CheckpointError(
            f"{folder}: the tensor {sorted(told['unexpected_keys'])[0]} fits nowhere in the model of its config; "
            "the config and the weights are of different models."
        )
    if told["mismatched_keys"]:
        name, found, wanted = sorted(told["mismatched_keys"])[0]
        raise CheckpointError(f"{folder}: {name} is {tuple(found)} in the file and {tuple(wanted)} by the config.")
    report.missing = sorted(told["missing_keys"])
    lacking = [name for name in report.missing if not name.startswith(HEAD_NAMES)]
    if lacking:
        raise CheckpointError(f"{folder}: {lacking[0]} is in none of its files; the download is incomplete.")
