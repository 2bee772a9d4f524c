"""Base models: a checkpoint folder, in any layout, to a model and its processor.

A config and the files' headers are compared before the weights are read. Every tensor of the files is used, or listed
in `LoadReport` with the reason; every parameter of the model is loaded, or listed there.
"""

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from mmduet.checkpoints.families import BACKBONES, Family
from mmduet.checkpoints.published import (
    is_published,
    published_config,
    published_processor,
    tower_headers,
    why_unused,
)
from mmduet.checkpoints.weights import FLOATS, Header, read_headers, read_tensors
from mmduet.errors import CheckpointError
from mmduet.files.config_files import read_config, understanding
from mmduet.model.backbone import Decides
from mmduet.model.duet import DuetConfig
from mmduet.model.heads import HEAD_NAMES
from mmduet.model.processing import DuetProcessor

LARGEST_BUFFERS = 2**28  # bytes of what a model computes for itself, such as rotary tables


@dataclass(slots=True)
class LoadReport:
    """What did not match.

    Attributes:
        unused: Tensor of the files -> why it is not used.
        missing: Parameters that no file has.
    """

    unused: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def family_of(folder: Path) -> Family:
    """Return the family of a checkpoint.

    Raises:
        CheckpointError: The config.json is damaged, or the checkpoint is no video model.
    """
    raw = read_config(folder)
    found = DuetConfig.model_type if is_published(raw) else str(raw.get("model_type"))
    if found not in BACKBONES:
        raise CheckpointError(
            f"{folder} is no video model (its config.json says model_type {raw.get('model_type')!r}): give a "
            "checkpoint of this project, a LLaVA-OneVision one in LLaVA-NeXT's or llava-hf's layout, or a Qwen2.5-VL."
        )
    return BACKBONES[found]


def read_base(folder: Path, decides: Decides | None = None) -> tuple[Any, DuetProcessor]:
    """Read a checkpoint's config, in any layout, and its processor.

    Args:
        folder: The checkpoint.
        decides: How the model is to decide. None: by heads if the checkpoint has them, or its family always has.

    Raises:
        CheckpointError: A file is damaged or missing, or the checkpoint is no video model.
    """
    config: Any
    family, path = family_of(folder), folder / "config.json"
    if is_published(read_config(folder)):
        config = published_config(folder)
        family.check_config(path, config)
        return config, published_processor(folder, config)
    with understanding(path):
        config = family.config.from_dict(read_config(folder))
    family.check_config(path, config)
    processor = family.processor.from_pretrained(folder, decides or how_it_decides(folder))
    for what, found, wanted in family.agreement(config, processor):
        if found != wanted:
            raise CheckpointError(
                f"{folder}: {what}: {found} by the processor's files, {wanted} by config.json: they are of different "
                "checkpoints."
            )
    return config, processor


def how_it_decides(folder: Path) -> Decides:
    """Return how a checkpoint's model decides: by heads where it has both, or where its family always has."""
    models = family_of(folder).models
    if len(models) == 1:
        return next(iter(models))
    held = read_headers(folder, "model")
    return "heads" if all(f"{name}.weight" in held for name in HEAD_NAMES) else "words"


def load_base(folder: Path, decides: Decides | None = None, **loading: Any) -> tuple[Any, DuetProcessor, LoadReport]:
    """Load a checkpoint in any layout. A published base has no heads: they are initialised with fixed seeds.

    Args:
        folder: The checkpoint.
        decides: As for `read_base`.
        **loading: dtype, device_map and attn_implementation of transformers' from_pretrained.

    Raises:
        CheckpointError: A tensor fits nowhere, or no file has a parameter other than a head.
    """
    family, decides = family_of(folder), decides or how_it_decides(folder)
    if decides not in family.models:
        raise CheckpointError(f"{folder}: this family of models decides by {', '.join(family.models)}, not {decides}.")
    config, processor = read_base(folder, decides)
    kind: Any = family.models[decides]
    headers, report = _our_headers(folder, family, config)
    _fit_vocabulary(folder, config, headers, kind)
    _check_complete(folder, config, headers, report, kind)
    state = read_tensors(headers)
    for seed, name in enumerate(report.missing):
        drawn = torch.randn(2, config.text_config.hidden_size, generator=torch.Generator().manual_seed(seed))
        state[name] = drawn * config.text_config.initializer_range
    one_file = len({header.file for header in headers.values()}) == 1
    with no_bar() if one_file else nullcontext():
        model = kind.from_pretrained(None, config=config, state_dict=state, trust_remote_code=False, **loading)
    return model, processor, report


@contextmanager
def no_bar() -> Iterator[None]:
    """Hide transformers' progress bar: the weights of one file take a second."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _our_headers(folder: Path, family: Family, config: Any) -> tuple[dict[str, Header], LoadReport]:
    """The files' tensors by this project's names, and those that are not used."""
    report, headers = LoadReport(), read_headers(folder, "model")
    published = is_published(read_config(folder))
    if published and not any("vision_tower" in name for name in headers):
        headers |= tower_headers(folder)
    ours: dict[str, Header] = {}
    for name, header in headers.items():
        own = family.our_name(name)
        reason = why_unused(own, config.vision_config.num_hidden_layers) if published else ""
        if reason:
            report.unused[name] = reason
        elif own in ours:
            raise CheckpointError(f"{folder} has two tensors for {own}: download it again.")
        else:
            ours[own] = header
    return ours, report


def _fit_vocabulary(folder: Path, config: Any, headers: Mapping[str, Header], kind: Any) -> None:
    """Take the vocabulary's size from the embeddings: some trainers add rows and do not change the config."""
    header, text = headers.get(kind.embedding_names[0]), config.text_config
    if header and header.shape and header.shape[0] != text.vocab_size:
        warnings.warn(
            f"{folder}: config.json has vocab_size {text.vocab_size}, the embeddings have {header.shape[0]} rows: all "
            "of them are used",
            stacklevel=5,
        )
        text.vocab_size = header.shape[0]


def _check_complete(folder: Path, config: Any, headers: Mapping[str, Header], report: LoadReport, kind: Any) -> None:
    shapes, tied = _parameters(folder, config, len(headers), kind)
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
    may_lack = HEAD_NAMES if is_published(read_config(folder)) or len(family_of(folder).models) > 1 else ()
    lacking = [name for name in missing if not name.startswith(may_lack)]
    if lacking:
        raise CheckpointError(f"{folder}: {lacking[0]} is in none of its files; the download is incomplete.")
    report.missing = missing


def _parameters(folder: Path, config: Any, most: int, kind: Any) -> tuple[dict[str, tuple[int, ...]], set[str]]:
    """Shapes of all parameters, and names of the tied ones, of a model that takes no memory.

    most: the number of tensors in the files; a config with more layers is refused before they are built.
    """
    path = folder / "config.json"
    parts = (config.text_config, config.vision_config)
    layers = max(getattr(part, name, 0) for part in parts for name in ("num_hidden_layers", "depth"))
    if layers > most:
        raise CheckpointError(f"{path} says {layers} layers, and the files have {most} tensors: download it again.")
    with understanding(path), torch.device("meta"):
        model = kind(copy.deepcopy(config))
    computed = sum(buffer.nbytes for buffer in model.buffers())
    if computed > LARGEST_BUFFERS:
        raise CheckpointError(
            f"{path} asks for {computed / 1e9:.0f} GB of tables, which no such model has: correct it."
        )
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    return shapes, set(model.all_tied_weights_keys)
