"""add_lora: LoRA on the language model; projector and heads trained in full."""

import warnings
from typing import cast

from peft import LoraConfig, PeftModel, get_peft_model

from mmduet.model.duet import DuetForConditionalGeneration


def add_lora(
    model: DuetForConditionalGeneration, *, r: int = 16, alpha: float = 32, dropout: float = 0.05
) -> PeftModel:
    """Add LoRA to the layers that the backbone names; projector and heads are trained in full and saved with it.

    Trained weights are float32, whatever precision the frozen ones have.

    Args:
        model: The model; it is changed.
        r: The rank of the LoRA matrices.
        alpha: The update is scaled by alpha / r.
        dropout: Share of LoRA's inputs that are dropped.
    """
    config = LoraConfig(
        r=r,
        lora_alpha=alpha,  # type: ignore[arg-type]
        lora_dropout=dropout,
        target_modules=model.lora_targets,
        modules_to_save=list(model.trained_in_full),
    )
    with warnings.catch_warnings():
        # PEFT reads a property that transformers is about to remove
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        wrapped = cast(PeftModel, get_peft_model(model, config))
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return wrapped
