"""Names, checkpoint folders and adapters to a model and its processor."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from mmduet.checkpoints.adapter import put_adapter, read_adapter
from mmduet.checkpoints.base import family_of, load_base, read_base
from mmduet.checkpoints.families import BACKBONES, Family
from mmduet.checkpoints.hub import find_folder
from mmduet.checkpoints.presets import PRESETS, Preset, find_preset
from mmduet.checkpoints.weights import check_finite
from mmduet.errors import CheckpointError, DuetError
from mmduet.model.backbone import Backbone, Decides
from mmduet.model.duet import DuetConfig, DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor
from mmduet.system.devices import choose_device, choose_dtype, enough_memory
from mmduet.system.memory import free_garbage


@enough_memory("let other models go, or give dtype='bfloat16', another device, or device_map='auto'")
def load_duet(
    name: str | Path,
    *,
    adapter: str | Path | None = None,
    merge: bool = True,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    device_map: str | dict[str, Any] | None = None,
    attn_implementation: str | None = None,
    decides: Decides | None = None,
    max_pixels: int | None = None,
) -> tuple[DuetForConditionalGeneration, DuetProcessor]:
    """Load a model, in evaluation mode, and its processor. No code of a checkpoint is run.

    A warning lists what a file holds and the model does not use, and what no file holds.

    Args:
        name: A preset (`PRESETS`), a preset of your own as ``module:OBJECT``, or a checkpoint folder or hub id in this
            project's layout, LLaVA-NeXT's or llava-hf's, or a Qwen2.5-VL's.
        adapter: A PEFT adapter's folder or hub id, instead of the preset's own.
        merge: Whether LoRA is merged into the weights, which is faster; the scores are the same.
        dtype: Of the weights. ``auto``: bfloat16 on a GPU, float32 on a CPU.
        device: ``auto``: a GPU if there is one, else the CPU.
        device_map: transformers' device map, instead of a device; ``auto`` spreads a large model over all devices.
        attn_implementation: ``eager``, ``sdpa`` or ``flash_attention_2``. None: transformers' choice.
        decides: ``heads`` or ``words``, for a Qwen2.5-VL. None: by heads if the adapter or the checkpoint has them.
        max_pixels: Maximum pixels of a frame, for a Qwen2.5-VL, whose frames keep their shape. None: as its files say.

    Raises:
        CheckpointError: The name, folder or adapter is missing, damaged or incomplete, or they do not fit.
        DuetError: A dtype or device is unknown, missing or too small.
    """
    free_garbage()  # of an earlier model, before the next one takes memory
    preset, place = find_preset(name), choose_device(device)
    loading: dict[str, Any] = {"dtype": choose_dtype(dtype, place), "attn_implementation": attn_implementation}
    base, adapter = _base(name, preset), adapter or (preset.adapter if preset else None)
    found = read_adapter(adapter, _family(base)) if adapter is not None else None  # before a large base is read
    decides = decides or (found.decides if found else None)
    if isinstance(base, Path):
        model, processor = _read(base, decides, device_map=device_map, needs_adapter=found is None, **loading)
    else:
        model, processor = _built(name, base, device_map=device_map, **loading)
    if found is not None:
        model = put_adapter(model, found, merge=merge)
    if max_pixels is not None:
        processor.set_max_pixels(max_pixels)
    model = model if device_map else model.to(place)  # type: ignore[arg-type]
    _check_loaded(model, processor, str(name))
    return model.eval(), processor


def _family(base: Path | tuple[Any, DuetProcessor]) -> Family:
    """The family of a base. Models of a user's own have the names of MMDuet's own tensors."""
    if isinstance(base, Path):
        return family_of(base)
    return BACKBONES.get(base[0].config.model_type, BACKBONES[DuetConfig.model_type])


def _read(
    folder: Path, decides: Decides | None, *, device_map: Any, needs_adapter: bool, **loading: Any
) -> tuple[DuetForConditionalGeneration, DuetProcessor]:
    model, processor, report = load_base(folder, decides, device_map=device_map, **loading)
    _warn_of_unused(folder, report.unused)
    for parameter in model.parameters():
        if parameter.device.type == "cpu":
            # memory of its own: pages mapped from the file are aligned otherwise, which changes how sums round
            parameter.data = parameter.data.clone()
    if needs_adapter and report.missing:
        warnings.warn(
            f"{folder}: not found in the checkpoint and initialised at random: {', '.join(report.missing)}. Pass "
            "adapter=….",
            stacklevel=4,
        )
    return model, processor


def _built(
    name: str | Path, base: tuple[Any, DuetProcessor], *, device_map: Any, dtype: Any, attn_implementation: str | None
) -> tuple[Any, DuetProcessor]:
    """A model that a user's preset has built, in the precision that was asked for."""
    model, processor = base
    if device_map is not None:
        raise DuetError(f"device_map={device_map!r}: {name} builds its model, which is on one device: give device.")
    if attn_implementation is not None:
        model.language_model.set_attn_implementation(attn_implementation)
    return model.to(dtype), processor


def _warn_of_unused(folder: Path, unused: Mapping[str, str]) -> None:
    reasons: dict[str, list[str]] = {}
    for tensor, reason in unused.items():
        reasons.setdefault(reason, []).append(tensor)
    if unused:
        listed = "; ".join(f"{', '.join(tensors)} ({reason})" for reason, tensors in reasons.items())
        warnings.warn(f"{folder}: not used: {listed}", stacklevel=5)


def _check_loaded(model: Backbone, processor: DuetProcessor, where: str) -> None:
    """Check that every weight is finite, and every token has an embedding."""
    check_finite(model.named_parameters(), where)
    rows = cast(torch.Tensor, model.get_input_embeddings().weight).shape[0]
    token, index = max(processor.vocabulary().items(), key=lambda entry: entry[1])
    if index >= rows:
        raise CheckpointError(
            f"{where}: the tokenizer has {token!r} as number {index}, the model has embeddings for {rows} tokens: "
            "give the tokenizer that the model was trained with."
        )


def load_processor(name: str | Path) -> DuetProcessor:
    """Load a model's processor alone.

    Args:
        name: As for `load_duet`.

    Raises:
        CheckpointError: A file is missing or damaged.
    """
    base = _base(name, find_preset(name))
    return read_base(base)[1] if isinstance(base, Path) else base[1]


def _base(name: str | Path, preset: Preset | None) -> Path | tuple[Backbone, DuetProcessor]:
    if preset:
        return _checked_base(name, preset.base())
    if not Path(name).is_dir() and "/" not in str(name):
        raise CheckpointError(f"{str(name)!r} is no preset ({', '.join(PRESETS)}), no folder and no hub id.")
    folder = find_folder(name)
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} has no config.json: give a checkpoint's folder.")
    return folder


def _checked_base(name: str | Path, base: Any) -> Path | tuple[Backbone, DuetProcessor]:
    """Return what a preset found or built. Raises DuetError for anything else."""
    parts = base if isinstance(base, tuple) else (base,)
    kinds = [isinstance(part, kind) for part, kind in zip(parts, (nn.Module, DuetProcessor), strict=False)]
    if isinstance(base, Path) or (len(parts) == 2 and all(kinds)):
        return cast(Any, base)
    gave = ", ".join(type(part).__qualname__ for part in parts)
    raise DuetError(f"model={str(name)!r}: its base() returned {gave}: return a Path, or (model, DuetProcessor).")


def load_adapter(
    model: DuetForConditionalGeneration, adapter: str | Path, *, merge: bool = True
) -> DuetForConditionalGeneration:
    """Put a PEFT adapter on a model: this project's, the published one, or one of LLaVA's trainers.

    Args:
        model: The base model.
        adapter: The adapter's folder or hub id.
        merge: Whether LoRA is merged into the weights.

    Raises:
        CheckpointError: The folder holds no adapter, it is damaged or has no heads, or its tensors have other shapes
            or names: the message has the first that does not fit, and both shapes.
    """
    return put_adapter(model, read_adapter(adapter, BACKBONES[model.config.model_type]), merge=merge)
