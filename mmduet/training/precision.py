"""cheap_bfloat16: what autocast and PEFT would convert and copy over and over in training is done once, or not at all.

Autocast converts the frozen weights anew in every step, and a layer's input anew for each of its linear layers and each
LoRA beside it, to which PEFT first gives a float32 copy and whose outputs it scales and adds one after the other. On a
CPU, where a small model's training is bound by memory as much as by arithmetic, that and the padding (`packing`) are a
large part of a step. Results are the same, but for what is rounded to bfloat16 earlier.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from peft import PeftModel
from peft.helpers import disable_input_dtype_casting
from peft.tuners.lora.layer import LoraLayer, LoraVariant
from torch import nn

from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.training.packing import packed

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
            stack.enter_context(packed(language_model))
            for module in language_model.modules():
                if isinstance(module, LoraLayer):
                    _cast_frozen(module.get_base_layer(), stack)
                    _add_in_product(module, stack)
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


def _add_in_product(layer: LoraLayer, stack: ExitStack) -> None:
    """For each adapter of plain LoRA, `_Added` in place of PEFT's sum."""
    for adapter in layer.lora_A:
        if adapter not in layer.lora_variant:
            layer.lora_variant[adapter] = _Added()
            stack.callback(layer.lora_variant.pop, adapter)


class _Added(LoraVariant):
    """Plain LoRA that its matrix product adds to the outputs in place, and whose r columns are scaled, not these."""

    @staticmethod
    def forward(module: Any, active_adapter: str, x: torch.Tensor, result: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        down, up = module.lora_A[active_adapter].weight, module.lora_B[active_adapter].weight
        x = module.lora_dropout[active_adapter](x)
        return _AddProduct.apply(result, x, down, up, module.scaling[active_adapter])


class _AddProduct(torch.autograd.Function):
    """result [..., out] += scaling * x [..., in] down.T up.T, with float32 down [r, in] and up [out, r]."""

    @staticmethod
    def forward(ctx, result, x, down, up, scaling):
        rows, down, up = (factor.to(result.dtype) for factor in (x.flatten(0, -2), down, up))
        columns = (rows @ down.t()).mul_(scaling)
        result.flatten(0, -2).addmm_(columns, up.t())
        ctx.mark_dirty(result)
        ctx.save_for_backward(rows, down, up, columns)
        ctx.scaling, ctx.dtype = scaling, x.dtype
        return result

    @staticmethod
    def backward(ctx, grad):
        rows, down, up, columns = ctx.saved_tensors
        grad_rows = grad.flatten(0, -2)
        grad_columns = (grad_rows @ up).mul_(ctx.scaling)
        grad_x = (grad_columns @ down).view(*grad.shape[:-1], -1).to(ctx.dtype)
        return grad, grad_x, (grad_columns.t() @ rows).float(), (grad_rows.t() @ columns).float(), None


def _cast_output(layer: Any, stack: ExitStack) -> None:
    """The output layer reads a copy in bfloat16: its weight may be the embeddings', which stay float32."""
    weight = layer.weight
    layer.weight = nn.Parameter(weight.data.bfloat16(), requires_grad=False)
    stack.callback(setattr, layer, "weight", weight)
