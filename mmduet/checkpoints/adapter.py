"""PEFT adapters of this project, of the published code and of LLaVA: read, checked, put on a model."""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, set_peft_model_state_dict
from pydantic import BaseModel

from mmduet.checkpoints.families import BACKBONES, Family
from mmduet.checkpoints.hub import find_folder
from mmduet.checkpoints.lora_settings import LoraSettings, of_pattern, read_lora_settings
from mmduet.checkpoints.weights import FLOATS, check_finite, read_headers, read_tensors
from mmduet.errors import CheckpointError
from mmduet.files.config_files import checked, read_settings
from mmduet.model.backbone import Decides
from mmduet.model.duet import DuetConfig, DuetForConditionalGeneration
from mmduet.model.heads import HEAD_NAMES
from mmduet.vision.concepts import ConceptTower

PREFIX = "base_model.model."
CONCEPTS_FILE = "concepts.json"  # names of the concepts that an adapter adds
BESIDE = "non_lora_trainables"  # LLaVA's trainers write the modules that are trained in full to it


class Concepts(BaseModel):
    """The file of added concepts: their names, in the order of their tensors' rows."""

    added: list[str]


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter's files.

    Attributes:
        folder: The folder.
        settings: The config's fields.
        lora: This project's name of a LoRA tensor -> the tensor.
        full: This project's name of a tensor that replaces the base's own -> the tensor.
        targets: Module with LoRA -> its name in the files.
        saved: This project's names of the modules that its config says it holds in full, with a dot at the end.
        concepts: The names of the concepts that it adds to a tower with names.
    """

    folder: Path
    settings: LoraSettings
    lora: dict[str, torch.Tensor]
    full: dict[str, torch.Tensor]
    targets: dict[str, str]
    saved: tuple[str, ...] = ()
    concepts: tuple[str, ...] = ()

    @property
    def decides(self) -> Decides:
        """How the model decides that it was trained on."""
        return "heads" if f"{HEAD_NAMES[0]}.weight" in self.full else "words"


def read_adapter(name: str | Path, family: Family = BACKBONES[DuetConfig.model_type]) -> Adapter:
    """Read an adapter.

    Args:
        name: Its folder or hub id.
        family: The family of its base model.

    Raises:
        CheckpointError: The folder holds no adapter, its files are damaged or pickled, it has no heads, or its kind is
            not supported.
    """
    folder = find_folder(name)
    tensors, settings = _read_adapter_tensors(folder), read_lora_settings(folder)
    names = {name: family.our_name(_bare(name)) for name in tensors}
    ours = {names[name]: value for name, value in tensors.items()}
    if len(ours) < len(tensors):
        raise CheckpointError(f"adapter {folder} has two tensors for one parameter: download it again.")
    lora = {name: value for name, value in ours.items() if ".lora_" in name}
    full = {name: value for name, value in ours.items() if name not in lora}
    targets = {
        ours.split(".lora_")[0]: theirs.removeprefix(PREFIX).split(".lora_")[0]
        for theirs, ours in names.items()
        if ours in lora
    }
    lacking = [head for head in HEAD_NAMES if f"{head}.weight" not in full]
    if lacking and (len(lacking) < len(HEAD_NAMES) or "words" not in family.models):
        raise CheckpointError(
            f"adapter {folder} has no {' and no '.join(lacking)}, so its scores would be random: give one that was "
            "saved with both heads, which PEFT does where modules_to_save names them."
        )
    saved = tuple(family.our_name(f"{module}.") for module in settings.modules_to_save or ())
    adapter = Adapter(folder, settings, lora, full, targets, saved, read_concepts(folder))
    _check_ranks(adapter)
    return adapter


def put_adapter(model: DuetForConditionalGeneration, adapter: Adapter, *, merge: bool) -> DuetForConditionalGeneration:
    """Put an adapter on a model.

    Args:
        model: The base model.
        adapter: The adapter.
        merge: Whether LoRA is merged into the weights.

    Raises:
        CheckpointError: The adapter does not fit. No weight is changed then, but the model may have room for more
            tokens or concepts.
    """
    _fit_vocabulary(model, adapter.full)
    _make_room(model, adapter)
    _compare(adapter, adapter.lora, _lora_shapes(adapter, model))
    if merge and adapter.settings.lora_bias:
        _check_bias(model, adapter)
    _put_full(model, adapter)
    if not adapter.targets:
        return model
    with warnings.catch_warnings():  # PEFT reads a name that transformers deprecates
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        wrapped = PeftModel(model, _lora_config(adapter))
    set_peft_model_state_dict(wrapped, {PREFIX + name: value for name, value in adapter.lora.items()})
    return cast(DuetForConditionalGeneration, wrapped.merge_and_unload() if merge else wrapped.get_base_model())


# reading


def read_concepts(folder: Path) -> tuple[str, ...]:
    """Return the names that an adapter adds. Raises CheckpointError: its list of names is damaged."""
    path = folder / CONCEPTS_FILE
    return tuple(checked(path, Concepts, read_settings(path)).added) if path.is_file() else ()


def _read_adapter_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """An adapter's tensors by their names in the files."""
    headers = read_headers(folder, "adapter_model")
    if (folder / f"{BESIDE}.safetensors").is_file():
        headers |= read_headers(folder, BESIDE)
    elif (folder / f"{BESIDE}.bin").is_file():
        raise CheckpointError(
            f"{folder} has the modules that were trained in full in {BESIDE}.bin, a pickle, which can run code when "
            f'read: where you trust it, convert once with `safetensors.torch.save_file(torch.load("{BESIDE}.bin", '
            f'weights_only=True), "{BESIDE}.safetensors")`.'
        )
    for name, header in headers.items():
        if header.dtype not in FLOATS:
            raise CheckpointError(f"{header.file}: {name} is {header.dtype}; quantised adapters are not read.")
    tensors = read_tensors(headers)
    check_finite(tensors.items(), f"adapter {folder}")
    return tensors


def _bare(name: str) -> str:
    """A tensor's name without what PEFT adds."""
    return name.removeprefix(PREFIX).replace(".modules_to_save", "").replace(".default", "")


# LoRA


def _rank(adapter: Adapter, target: str) -> int:
    return of_pattern(adapter.settings.rank_pattern, adapter.targets.get(target, target), adapter.settings.r)


def _check_ranks(adapter: Adapter) -> None:
    for name, value in adapter.lora.items():
        target, _, kind = name.partition(".lora_")
        rank = _rank(adapter, target)
        if kind in ("A.weight", "embedding_A") and value.shape[:1] != (rank,):
            raise CheckpointError(
                f"{adapter.folder / 'adapter_config.json'} says rank {rank} for {target}, whose {name} is "
                f"{tuple(value.shape)}: the two files are of different adapters."
            )


def _lora_shapes(adapter: Adapter, model: DuetForConditionalGeneration) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor that LoRA on these modules has."""
    shapes: dict[str, tuple[int, ...]] = {}
    modules = dict(model.named_modules())
    tied = (
        {name.removesuffix(".weight") for name in model.embedding_names} & adapter.targets.keys()
        if _is_tied(model)
        else ()
    )
    for target in adapter.targets.keys() | _chosen(adapter, model):
        if target in tied:
            raise CheckpointError(f"adapter {adapter.folder} has LoRA on embeddings that the base ties: not read here.")
        module, r = modules.get(target), _rank(adapter, target)
        if isinstance(module, torch.nn.Embedding):
            shapes[f"{target}.lora_embedding_A"] = (r, module.num_embeddings)
            shapes[f"{target}.lora_embedding_B"] = (module.embedding_dim, r)
        elif isinstance(module, torch.nn.Linear):
            shapes[f"{target}.lora_A.weight"] = (r, module.in_features)
            shapes[f"{target}.lora_B.weight"] = (module.out_features, r)
            if adapter.settings.lora_bias:
                shapes[f"{target}.lora_B.bias"] = (module.out_features,)
            if adapter.settings.use_dora:
                shapes[f"{target}.lora_magnitude_vector"] = (module.out_features,)
    return shapes


def _chosen(adapter: Adapter, model: DuetForConditionalGeneration) -> set[str]:
    """The modules that have LoRA where the adapter was trained here; an empty set for others, and without LoRA."""
    if not adapter.targets or adapter.settings.target_modules != model.lora_targets:
        return set()
    modules = (name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear))
    return {name for name in modules if re.fullmatch(model.lora_targets, name)}


def _check_bias(model: DuetForConditionalGeneration, adapter: Adapter) -> None:
    """Check that the biases of LoRA have one of the base to be added to."""
    for target in sorted(adapter.targets):
        if getattr(model.get_submodule(target), "bias", None) is None:
            raise CheckpointError(
                f"adapter {adapter.folder} has lora_bias, and {target} of its base has no bias to merge it into: load "
                "it with merge=False, or train without lora_bias."
            )


def _lora_config(adapter: Adapter) -> LoraConfig:
    settings, targets = adapter.settings, adapter.targets
    alphas = {target: of_pattern(settings.alpha_pattern, name, settings.lora_alpha) for target, name in targets.items()}
    return LoraConfig(
        r=settings.r, lora_alpha=settings.lora_alpha, lora_dropout=settings.lora_dropout,  # type: ignore[arg-type]
        use_rslora=settings.use_rslora, use_dora=settings.use_dora, lora_bias=settings.lora_bias,
        target_modules=sorted(targets), inference_mode=True, alpha_pattern=alphas,
        rank_pattern={target: _rank(adapter, target) for target in targets},
    )  # fmt: skip


# what is trained in full


def _put_full(model: DuetForConditionalGeneration, adapter: Adapter) -> None:
    """Replace the base's own tensors: projector, heads, and others that the adapter has in full."""
    full, state = adapter.full, model.state_dict()
    modules = {f".{module}" for module in adapter.saved}
    if any(name.startswith("projector.") for name in full):
        modules.add(".projector.")
    wanted = {
        name: tuple(value.shape)
        for name, value in state.items()
        if name in full or any(module in f".{name}" for module in modules)
    }
    _compare(adapter, full, wanted)
    if _is_tied(model) and _unties(adapter, model.embedding_names):
        raise CheckpointError(
            f"adapter {adapter.folder} unties the base's embeddings, which is not read here: leave embed_tokens and "
            "lm_head out of modules_to_save."
        )
    with torch.no_grad():
        for name, value in full.items():
            state[name].copy_(value)


def _unties(adapter: Adapter, names: Sequence[str]) -> bool:
    """Whether an adapter has another tensor for one of the embeddings, by name, than for the others.

    PEFT gives a module of modules_to_save a tensor of its own; the others keep the base's unless they are saved too.
    The first may come alone otherwise: its tensor is theirs, too.
    """
    held = [adapter.full[name] for name in names if name in adapter.full]
    own = any(f".{module}" in f".{names[0]}" for module in adapter.saved)
    alone = bool(held) and len(held) < len(names) and (own or names[0] not in adapter.full)
    return alone or not all(torch.equal(held[0], value) for value in held)


def _fit_vocabulary(model: DuetForConditionalGeneration, full: Mapping[str, torch.Tensor]) -> None:
    """Give the model as many embeddings as the adapter has, where it has all of them."""
    now = _embeddings(model).shape
    ids, logits = model.embedding_names
    shapes = {full[name].shape for name in (ids, logits) if name in full}
    complete = ids in full and (logits in full or _is_tied(model))
    if complete and len(shapes) == 1 and shapes != {now}:
        rows, *width = shapes.pop()
        if rows > now[0] and width == [now[1]]:
            with torch.random.fork_rng(devices=[]):
                model.language_model.resize_token_embeddings(rows, mean_resizing=False)


def _make_room(model: DuetForConditionalGeneration, adapter: Adapter) -> None:
    """Give a tower with names as many added concepts as the adapter has."""
    if not adapter.concepts:
        return
    tower = getattr(model, "vision_tower", None)
    if not isinstance(tower, ConceptTower):
        raise CheckpointError(
            f"adapter {adapter.folder} adds {', '.join(adapter.concepts)}, and this base's tower has no names: use the "
            "base it was trained on."
        )
    tower.make_room(len(adapter.concepts))
    tower.config.added = list(adapter.concepts)


def _embeddings(model: DuetForConditionalGeneration) -> torch.Tensor:
    return cast(torch.Tensor, model.get_input_embeddings().weight)


def _is_tied(model: DuetForConditionalGeneration) -> bool:
    return model.get_input_embeddings().weight is model.get_output_embeddings().weight


def _compare(adapter: Adapter, found: Mapping[str, torch.Tensor], wanted: Mapping[str, tuple[int, ...]]) -> None:
    for name in sorted(found.keys() | wanted.keys()):
        shape = tuple(found[name].shape) if name in found else "missing"
        expected = wanted.get(name, "unknown")
        if shape != expected:
            fix = "use the base it was trained on" + (", or get the adapter again" if shape == "missing" else "")
            raise CheckpointError(
                f"adapter {adapter.folder} does not fit this base: {name} is {shape} in the adapter and {expected} in "
                f"the model; {fix}."
            )
