"""Checkpoints and adapters to files."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from mmduet.checkpoints.base import no_bar
from mmduet.files import replacing_files, replacing_folder, scratch_folder, writing
from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor


def save_checkpoint(model: DuetForConditionalGeneration, processor: DuetProcessor, folder: Path) -> None:
    """Write a whole model in this project's own layout, completely or not at all.

    Raises:
        FileError: The folder holds anything else, or cannot be written.
    """
    with replacing_folder(folder) as temporary, no_bar():
        model.save_pretrained(temporary)
        processor.save_pretrained(temporary)


def save_adapter(
    wrapped: PeftModel,
    folder: Path,
    *,
    base: str,
    dtype: torch.dtype = torch.bfloat16,
    state_dict: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write LoRA, projector and heads. Each of the two files replaces an earlier one when both are complete.

    Args:
        wrapped: The model with its adapter.
        folder: The adapter's folder.
        base: The name by which `load_duet` finds the base model.
        dtype: The precision of the file.
        state_dict: The weights, where this process has only a share of them.

    Raises:
        FileError: The files cannot be written.
    """
    wrapped.peft_config["default"].base_model_name_or_path = base
    names = ("adapter_config.json", "adapter_model.safetensors")  # without PEFT's empty model card
    with scratch_folder(folder.parent) as scratch:
        with writing(folder, [scratch]):
            # with save_embedding_layers PEFT would contact a hub
            wrapped.save_pretrained(str(scratch), save_embedding_layers=False, state_dict=state_dict)
            weights = {name: value.to(dtype).contiguous() for name, value in load_file(scratch / names[1]).items()}
            save_file(weights, scratch / "weights")  # safetensors writes a temporary file of its own
        with replacing_files(folder / name for name in names) as (config, model):
            shutil.copyfile(scratch / names[0], config)
            shutil.move(scratch / "weights", model)
