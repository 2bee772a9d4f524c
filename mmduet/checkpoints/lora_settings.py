"""The settings of a PEFT adapter: its adapter_config.json, checked."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StrictBool

from mmduet.errors import CheckpointError
from mmduet.files import shown
from mmduet.files.config_files import checked, read_settings

# fields of an adapter's config that change the scores and are not supported
UNREAD = (
    "layer_replication", "alora_invocation_tokens", "target_parameters", "trainable_token_indices", "use_qalora",
    "use_bdlora", "arrow_config", "monteclora_config", "velora_config",
)  # fmt: skip
PATTERNS = ("rank_pattern", "alpha_pattern")
PLAIN = re.compile(r"\^?(?:\w|\\?\.)+")  # keys of patterns that are read without the use of a regular expression
MERGE = "merge the adapter into its base with PEFT first"
Rank = Annotated[int, Field(ge=1, le=2**16, strict=True)]
Alpha = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class LoraSettings(BaseModel):
    """The fields of an adapter_config.json that count.

    The modules with LoRA follow from the tensors' names. target_modules is only compared with a model's `lora_targets`.
    It and the keys of patterns are never used as regular expressions, of which a file may hold one that takes years.

    Other values of init_lora_weights change the base model's weights before training.
    """

    peft_type: Literal["LORA"]
    r: Rank
    lora_alpha: Alpha
    lora_dropout: Annotated[float, Field(ge=0, le=1)] = 0.0
    use_rslora: StrictBool = False
    use_dora: StrictBool = False
    lora_bias: StrictBool = False
    rank_pattern: dict[str, Rank] | None = None
    alpha_pattern: dict[str, Alpha] | None = None
    target_modules: str | list[str] | None = None
    modules_to_save: list[str] | None = None
    init_lora_weights: StrictBool | Literal["gaussian", "eva", "orthogonal"] | None = True


def read_lora_settings(folder: Path) -> LoraSettings:
    """Read an adapter's settings.

    Raises:
        CheckpointError: The file is missing or damaged, or states what is not read.
    """
    path = folder / "adapter_config.json"
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {path.name}: give the folder that training wrote its adapter to.")
    raw = read_settings(path)
    for name in UNREAD:
        if raw.get(name):
            raise CheckpointError(f"{path}: {name} is not read here; {MERGE}.")
    settings: LoraSettings = checked(path, LoraSettings, raw)
    for name in PATTERNS:
        for key in getattr(settings, name) or ():
            if not PLAIN.fullmatch(key):
                raise CheckpointError(
                    f"{path}: {name} has the regular expression {shown(key)}, which is not read here: only ends of "
                    f"module names are, or ^ and a full name; {MERGE}."
                )
    return settings


def of_pattern(pattern: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """Return the value of a rank or alpha pattern for a module.

    Args:
        pattern: Its keys are ends of module names, or ^ and a full name, as in PEFT's documentation.
        module: The module's full name.
        default: The value without a key that matches.
    """
    for key, value in (pattern or {}).items():
        name = key.replace("\\.", ".")
        if name == f"^{module}" or f".{module}".endswith(f".{name}"):
            return value
    return default
