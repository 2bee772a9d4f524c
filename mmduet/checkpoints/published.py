"""Checkpoint layouts, this project's, LLaVA-NeXT's and llava-hf's, read into this project's model.

A config and the files' headers are compared before any memory is taken: every tensor of the files is used, or named in
`LoadReport` with the reason why not; every parameter of the model is loaded, or named there.
"""

import copy
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, cast

import torch
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers import CONFIG_MAPPING, AutoConfig, SiglipVisionConfig
from transformers.utils import logging as transformers_logging

from mmduet.checkpoints.weights import FLOATS, Header, read_headers, read_tensors
from mmduet.errors import CheckpointError
from mmduet.files import inside
from mmduet.model.duet import HEAD_NAMES, DuetConfig, DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor, FrameSettings, load_tokenizer
from mmduet.model.prompt import IM_END, IM_START, IMAGE
from mmduet.model.settings import read_config, understanding

LARGEST_BUFFERS = 2**28  # bytes of what a model computes for itself, such as rotary tables
EMBEDDINGS = ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight")
LARGEST_SIDE = 80  # patches: tables grow with its fourth power
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
        return Path(snapshot_download(str(name), allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{name} is no folder here, and the hub cannot be asked for it ({type(error).__name__}): download it where "
            "there is a network and give its folder."
        ) from error


def published_config(folder: Path) -> DuetConfig:
    """A published config.json as this project's; image_token_id is the tokenizer's to say.

    Raises CheckpointError when it is damaged, or its vision tower is not found.
    """
    raw = read_config(folder)
    with understanding(folder / "config.json"):
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
    """A tower's folder, beside the base or in it; None when it must come from the hub.

    A path of the machine where the base was trained is not followed: its last name is looked for.
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
            f"the vision tower {tower!r} of {folder} is not beside it, and the hub cannot be asked for it: put its "
            f"folder at {folder.parent / PurePath(tower).name}."
        ) from error
    raw = read_config(place)
    with understanding(place / "config.json"):
        return _siglip(raw)


# loading


def read_base(folder: Path) -> tuple[DuetConfig, DuetProcessor]:
    """A checkpoint's settings, in any layout, and its processor.

    Raises CheckpointError when a file is damaged or missing, or of no video model.
    """
    raw, path = read_config(folder), folder / "config.json"
    if is_published(raw):
        config = published_config(folder)
        _check_grid(path, config)
        return config, _published_processor(folder, config)
    if raw.get("model_type") != DuetConfig.model_type:
        raise CheckpointError(
            f"{folder} is no video model (its config.json says model_type {raw.get('model_type')!r}): give a "
            "checkpoint of this project, or a LLaVA-OneVision one in LLaVA-NeXT's or llava-hf's layout."
        )
    with understanding(path):
        config = DuetConfig.from_dict(raw)
    _check_grid(path, config)
    processor = DuetProcessor.from_pretrained(folder)
    _check_agreement(folder, config, processor)
    return config, processor


def _check_grid(path: Path, config: DuetConfig) -> None:
    with understanding(path):
        side, stride = config.grid_side, config.pool_stride
    if not 1 <= side <= LARGEST_SIDE or not 1 <= stride <= side:
        raise CheckpointError(
            f"{path}: a frame of {side}x{side} patches, pooled by {stride}, is not read; a side has 1 to "
            f"{LARGEST_SIDE} patches, a stride is at most a side."
        )


def _check_agreement(folder: Path, config: DuetConfig, processor: DuetProcessor) -> None:
    """Config and processor say the same of a frame."""
    frame = processor.frame
    for what, found, wanted in (
        ("pixels a side", frame.size, config.vision_config.image_size),
        ("tokens a frame", frame.tokens, config.tokens_per_frame),
        ("the image token", processor.image_id, config.image_token_id),
    ):
        if found != wanted:
            raise CheckpointError(
                f"{folder}: {what}: {found} by the processor's files, {wanted} by config.json: they are of different "
                "checkpoints."
            )


def _published_processor(folder: Path, config: DuetConfig) -> DuetProcessor:
    tokenizer = load_tokenizer(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    tokenizer.bos_token, tokenizer.eos_token = IM_START, IM_END
    config.image_token_id = cast(int, tokenizer.convert_tokens_to_ids(IMAGE))
    frame = FrameSettings(size=config.vision_config.image_size, tokens=config.tokens_per_frame)
    return DuetProcessor(tokenizer, frame)


def load_base(folder: Path, **loading: Any) -> tuple[DuetForConditionalGeneration, DuetProcessor, LoadReport]:
    """A checkpoint in any layout. The heads of a published base are in no file: they are drawn, always the same.

    loading: dtype, device_map, attn_implementation, as of transformers' from_pretrained.
    Raises CheckpointError for a tensor that fits nowhere, or a parameter other than a head that no file has.
    """
    config, processor = read_base(folder)
    headers, report = _our_headers(folder, config)
    _fit_vocabulary(folder, config, headers)
    _check_complete(folder, config, headers, report)
    state = read_tensors(headers)
    for seed, name in enumerate(report.missing):
        drawn = torch.randn(2, config.text_config.hidden_size, generator=torch.Generator().manual_seed(seed))
        state[name] = drawn * config.text_config.initializer_range
    one_file = len({header.file for header in headers.values()}) == 1
    with no_bar() if one_file else nullcontext():
        model = DuetForConditionalGeneration.from_pretrained(
            None, config=config, state_dict=state, trust_remote_code=False, **loading
        )
    return model, processor, report


@contextmanager
def no_bar() -> Iterator[None]:
    """Without transformers' progress bar: weights of one file are read or written in a second."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _our_headers(folder: Path, config: DuetConfig) -> tuple[dict[str, Header], LoadReport]:
    """What the files have, by this project's names, and what of it is not used."""
    report, headers = LoadReport(), read_headers(folder, "model")
    if not is_published(read_config(folder)):
        return headers, report
    if not any("vision_tower" in name for name in headers):
        headers |= _tower_headers(folder)
    ours: dict[str, Header] = {}
    for name, header in headers.items():
        reason = _why_unused(name, config.vision_config.num_hidden_layers)
        if reason:
            report.unused[name] = reason
        elif our_name(name) in ours:
            raise CheckpointError(f"{folder} has two tensors for {our_name(name)}: download it again.")
        else:
            ours[our_name(name)] = header
    return ours, report


def _tower_headers(folder: Path) -> dict[str, Header]:
    """Of a base that leaves its tower where it came from."""
    tower = read_config(folder).get("mm_vision_tower")
    if tower is None:
        raise CheckpointError(f"{folder} has no tensors of a vision tower: the download is incomplete.")
    headers = read_headers(_tower_folder(tower, folder) or find_folder(tower), "model")
    return {f"vision_tower.{name}": header for name, header in headers.items() if name.startswith("vision_model.")}


def _why_unused(name: str, layers: int) -> str:
    for pattern, reason in UNUSED.items():
        if re.search(pattern, name):
            return reason
    layer = re.search(r"vision_model\.encoder\.layers\.(\d+)\.", name)
    return "the tower's last layer is not read" if layer and int(layer[1]) >= layers else ""


def _fit_vocabulary(folder: Path, config: DuetConfig, headers: Mapping[str, Header]) -> None:
    """The file's embeddings count: trainers add or pad rows, and some leave the config as it was."""
    header, text = headers.get(EMBEDDINGS[0]), config.text_config
    if header and header.shape and header.shape[0] != text.vocab_size:
        warnings.warn(
            f"{folder}: config.json has vocab_size {text.vocab_size}, the embeddings have {header.shape[0]} rows: all "
            "of them are used",
            stacklevel=5,
        )
        text.vocab_size = header.shape[0]


def _check_complete(folder: Path, config: DuetConfig, headers: Mapping[str, Header], report: LoadReport) -> None:
    shapes, tied = _parameters(folder, config, len(headers))
    for name, header in headers.items():
        if name not in shapes:
            raise CheckpointError(
                f"{folder}: the tensor {header.name} fits nowhere in the model of its config; the config and the "
                "weights are of different models."
            )
        if header.shape != shapes[name]:
            raise CheckpointError(f"{folder}: {name} is {header.shape} in the file and {shapes[name]} by the config.")
        if header.dtype not in FLOATS:
            raise CheckpointError(
                f"{folder}: {name} is {header.dtype}; quantised weights are not read: give them in 16 or 32 bits."
            )
    missing = sorted(shapes.keys() - headers.keys() - tied)
    may_lack = HEAD_NAMES if is_published(read_config(folder)) else ()
    lacking = [name for name in missing if not name.startswith(may_lack)]
    if lacking:
        raise CheckpointError(f"{folder}: {lacking[0]} is in none of its files; the download is incomplete.")
    report.missing = missing


def _parameters(folder: Path, config: DuetConfig, most: int) -> tuple[dict[str, tuple[int, ...]], set[str]]:
    """Every parameter's shape, and those that are another one's: of a model that takes no memory.

    most: tensors in the files; layers that are not there are not built.
    """
    path = folder / "config.json"
    layers = max(getattr(part, "num_hidden_layers", 0) for part in (config.text_config, config.vision_config))
    if layers > most:
        raise CheckpointError(f"{path} says {layers} layers, and the files have {most} tensors: download it again.")
    with understanding(path), torch.device("meta"):
        model = DuetForConditionalGeneration(copy.deepcopy(config))
    computed = sum(buffer.nbytes for buffer in model.buffers())
    if computed > LARGEST_BUFFERS:
        raise CheckpointError(
            f"{path} asks for {computed / 1e9:.0f} GB of tables, which no such model has: correct it."
        )
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    return shapes, set(model.all_tied_weights_keys)
