"""cheap_bfloat16: what autocast and PEFT would convert over and over in training is converted once.

Autocast converts the frozen weights anew in every step, and a layer's input anew for each of its linear layers and each
LoRA beside it, to which PEFT first gives a float32 copy. On a CPU, where a small model's training is bound by memory as
much as by arithmetic, that is a fifth of a step. Results are the same, but for gradients that are summed in bfloat16.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from peft import PeftModel
from peft.helpers import disable_input_dtype_casting
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask
from transformers.models.llama.modeling_llama import eager_attention_forward

from mmduet.attention import NAME as SPLIT
from mmduet.model import DuetForConditionalGeneration

ATTENTION = "recomputed_eager"
BLOCKS = ("self_attn", "mlp")  # of a layer; what enters them is read by linear layers alone


@contextmanager
def cheap_bfloat16(model: PeftModel) -> Iterator[None]:
    """Within, under autocast to bfloat16: the same at less cost. Afterwards weights and settings are as they were."""
    with ExitStack() as stack:
        stack.enter_context(disable_input_dtype_casting(model))
        language_model = cast(DuetForConditionalGeneration, model.get_base_model()).language_model
        for name, module in language_model.named_modules():
            if name.endswith(BLOCKS):
                stack.callback(module.register_forward_pre_hook(_cast_input, with_kwargs=True).remove)
        if language_model.device.type == "cpu":
            _set_attention(language_model.config, stack)
            for module in language_model.modules():
                if isinstance(module, LoraLayer):
                    _cast_frozen(module.get_base_layer(), stack)
            _cast_output(language_model.get_output_embeddings(), stack)
        yield


def _cast_input(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    if args:
        return (args[0].bfloat16(), *args[1:]), kwargs
    return args, kwargs | {"hidden_states": kwargs["hidden_states"].bfloat16()}


def _cast_frozen(layer: Any, stack: ExitStack) -> None:
    """A frozen float32 weight in bfloat16; it is kept aside only where the way back loses something."""
    weight = layer.weight
    if weight.dtype != torch.float32:
        return
    rounded = weight.data.bfloat16()
    kept = None if torch.equal(rounded.float(), weight.data) else weight.data

    def restore() -> None:
        weight.data = weight.data.float() if kept is None else kept

    weight.data = rounded
    stack.callback(restore)


def _cast_output(layer: Any, stack: ExitStack) -> None:
    """The output layer reads a copy in bfloat16: its weight may be the embeddings', which stay float32."""
    weight = layer.weight
    layer.weight = nn.Parameter(weight.data.bfloat16(), requires_grad=False)
    stack.callback(setattr, layer, "weight", weight)


def _set_attention(config: Any, stack: ExitStack) -> None:
    """Matrix products for torch's kernel, whose backward pass in bfloat16 takes twice their time on a CPU."""
    before = config._attn_implementation
    if before in ("sdpa", SPLIT):  # a session that watched with the model has left it at the second
        config._attn_implementation = ATTENTION
        stack.callback(setattr, config, "_attn_implementation", before)


def _recomputed(module: nn.Module, query: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, None]:
    """transformers' attention interface; the [B, heads, n, m] weights are computed anew in the backward pass."""
    output, _ = checkpoint(eager_attention_forward, module, query, *args, use_reentrant=False, **kwargs)
    return output, None


AttentionInterface.register(ATTENTION, _recomputed)
AttentionMaskInterface.register(ATTENTION, eager_mask)
