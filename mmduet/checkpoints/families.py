"""BACKBONES: the families of models whose checkpoints are read, by the ``model_type`` of their config.json."""

import re
from collections.abc import Callable, Sequence
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
from mmduet.qwen_vl.processing import agreement, check_config

Agreement = Sequence[tuple[str, Any, Any]]
LARGEST_SIDE = 80  # patches: tables grow with its fourth power


@dataclass(frozen=True, slots=True)
class Family:
    """What reads the checkpoints of one ``model_type``.

    Attributes:
        config: The class of config.json.
        models: How a model decides, ``heads`` or ``words`` -> its class. The first is for checkpoints without heads.
        processor: The class of the processor.
        our_name: The model's name of a tensor of a checkpoint or an adapter.
        agreement: ``agreement(config, processor)`` lists what both state: a name, the processor's value, the config's.
        check_config: ``check_config(path, config)`` raises CheckpointError where the config is out of range.
    """

    config: type[PreTrainedConfig]
    models: dict[Decides, type[PreTrainedModel]]
    processor: type[DuetProcessor]
    our_name: Callable[[str], str]
    agreement: Callable[[Any, Any], Agreement]
    check_config: Callable[[Path, Any], None]


def _check_grid(path: Path, config: DuetConfig) -> None:
    with understanding(path):
        side, stride = config.grid_side, config.pool_stride
    if not 1 <= side <= LARGEST_SIDE or not 1 <= stride <= side:
        raise CheckpointError(
            f"{path}: a frame of {side}x{side} patches, pooled by {stride}, is not read; a side has 1 to "
            f"{LARGEST_SIDE} patches, a stride is at most a side."
        )


def _agreement(config: DuetConfig, processor: DuetProcessor) -> Agreement:
    return (
        ("pixels a side", processor.frame.size, config.vision_config.image_size),
        ("tokens a frame", processor.frame.tokens, config.tokens_per_frame),
        ("the image token", processor.image_id, config.image_token_id),
    )


def _qwen_name(name: str) -> str:
    """The stock model's name of a tensor: published files have the shorter names of earlier transformers versions."""
    name = re.sub(r"^visual\.", "model.visual.", name)
    return re.sub(r"^model\.(?=embed_tokens|layers|norm)", "model.language_model.", name)


# model_type of a config.json -> what reads its checkpoint
BACKBONES: dict[str, Family] = {
    DuetConfig.model_type: Family(
        DuetConfig, {"heads": DuetForConditionalGeneration}, DuetProcessor, our_name, _agreement, _check_grid
    ),
    Qwen2_5_VLConfig.model_type: Family(
        Qwen2_5_VLConfig,
        {"words": QwenVLWords, "heads": QwenVLHeads},
        QwenVLProcessor,
        _qwen_name,
        agreement,
        check_config,
    ),
}
