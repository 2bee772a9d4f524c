"""BACKBONES: the families of models whose checkpoints are read, by the ``model_type`` of their config.json."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel, Qwen2_5_VLConfig

from mmduet.checkpoints.published import our_name
from mmduet.errors import CheckpointError
from mmduet.files.config_files import understanding
from mmduet.model.backbone import Decides
from mmduet.model.duet import DuetConfig, DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor
from mmduet.qwen_vl import QwenVLHeads, QwenVLProcessor, QwenVLWords
from mmduet.qwen_vl.processing import check_agreement, check_config

LARGEST_SIDE = 80  # patches: tables grow with its fourth power


@dataclass(frozen=True, slots=True)
class Family:
    """What reads the checkpoints of one ``model_type``.

    Attributes:
        config: The class of config.json.
        models: How a model decides, ``heads`` or ``words`` -> its class. The first is for checkpoints without heads.
        processor: The class of the processor.
        our_name: The model's name of a tensor of a checkpoint or an adapter.
        check: ``check(folder, config, processor)`` raises CheckpointError where they do not fit each other.
        check_config: ``check_config(path, config)`` raises CheckpointError where the config is out of range.
    """

    config: type[PreTrainedConfig]
    models: dict[Decides, type[PreTrainedModel]]
    processor: type[DuetProcessor]
    our_name: Callable[[str], str]
    check: Callable[[Path, Any, Any], None]
    check_config: Callable[[Path, Any], None]


def _check_grid(path: Path, config: DuetConfig) -> None:
    with understanding(path):
        side, stride = config.grid_side, config.pool_stride
    if not 1 <= side <= LARGEST_SIDE or not 1 <= stride <= side:
        raise CheckpointError(
            f"{path}: a frame of {side}x{side} patches, pooled by {stride}, is not read; a side has 1 to "
            f"{LARGEST_SIDE} patches, a stride is at most a side."
        )


def _check_duet(folder: Path, config: DuetConfig, processor: DuetProcessor) -> None:
    """Check that config and processor agree on a frame."""
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


def _qwen_name(name: str) -> str:
    """The stock model's name of a tensor: published files have the shorter names of earlier transformers versions."""
    name = re.sub(r"^visual\.", "model.visual.", name)
    return re.sub(r"^model\.(?=embed_tokens|layers|norm)", "model.language_model.", name)


# model_type of a config.json -> what reads its checkpoint
BACKBONES: dict[str, Family] = {
    DuetConfig.model_type: Family(
        DuetConfig, {"heads": DuetForConditionalGeneration}, DuetProcessor, our_name, _check_duet, _check_grid
    ),
    Qwen2_5_VLConfig.model_type: Family(
        Qwen2_5_VLConfig,
        {"words": QwenVLWords, "heads": QwenVLHeads},
        QwenVLProcessor,
        _qwen_name,
        check_agreement,
        check_config,
    ),
}
