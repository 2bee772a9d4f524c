"""Precision of training: where bfloat16 is fast, and how to avoid repeated conversions to it.

Autocast converts the frozen weights again in every step, and a layer's input again for each of its linear layers and
each LoRA. PEFT makes a float32 copy of that input first, and scales and adds the outputs one after the other. On a CPU,
where a small model's training is bound by memory as much as by arithmetic, these conversions and the padding
(`packing`) are a large part of a step. Without them results are the same, except that some values are rounded to
bfloat16 earlier.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from peft import PeftModel
from peft.helpers import disable_input_dtype_casting
from peft.tuners.lora.layer import LoraLayer, LoraVariant
from torch import nn

from mmduet.kernels.packing import packed
from mmduet.model.duet import DuetForConditionalGeneration

BLOCKS = ("self_attn", "mlp")  # of a layer; only linear layers read their inputs


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether a device computes bfloat16 at least about as fast as float32.

    A CPU does where oneDNN has kernels for it: with AVX-512 or AVX-NE-CONVERT on x86, with BF16 on Arm. Otherwise torch
    multiplies matrices of bfloat16 without oneDNN, 6 to 50 times slower than those of float32.
    """
    if device.type != "cpu":
        return True
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@contextmanager
def cheap_bfloat16(model: PeftModel) -> Iterator[None]:
    """Make autocast to bfloat16 cheaper within a block. Afterwards weights and settings are as before."""
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


def _cast_input(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if args:
        return (args[0].bfloat16(), *args[1:]), kwargs
    return args, kwargs | {"hidden_states": kwargs["hidden_states"].bfloat16()}


def _cast_frozen(layer: Any, stack: ExitStack) -> None:
    """Convert a frozen float32 weight to bfloat16. The original is kept only if the conversion rounds."""
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
    """Replace PEFT's sum by `_Added`, for each adapter of plain LoRA."""
    for adapter in layer.lora_A:
        if adapter not in layer.lora_variant:
            layer.lora_variant[adapter] = _Added()
            stack.callback(layer.lora_variant.pop, adapter)


class _Added(LoraVariant):
    """Plain LoRA whose matrix product is added to the outputs in place. Its r columns are scaled, not the outputs."""

    @staticmethod
    def forward(module: Any, active_adapter: str, x: torch.Tensor, result: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        down, up = module.lora_A[active_adapter].weight, module.lora_B[active_adapter].weight
        x = module.lora_dropout[active_adapter](x)
        return cast(torch.Tensor, _AddProduct.apply(result, x, down, up, module.scaling[active_adapter]))  # type: ignore[no-untyped-call]


class _AddProduct(torch.autograd.Function):
    """result [..., out] += scaling * x [..., in] down.T up.T, with float32 down [r, in] and up [out, r]."""

    @staticmethod
    def forward(
        ctx: Any, result: torch.Tensor, x: torch.Tensor, down: torch.Tensor, up: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        rows, down, up = (factor.to(result.dtype) for factor in (x.flatten(0, -2), down, up))
        columns = (rows @ down.t()).mul_(scaling)
        result.flatten(0, -2).addmm_(columns, up.t())
        ctx.mark_dirty(result)
        ctx.save_for_backward(rows, down, up, columns)
        ctx.scaling, ctx.dtype = scaling, x.dtype
        return result

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, down, up, columns = ctx.saved_tensors
        grad_rows = grad.flatten(0, -2)
        grad_columns = (grad_rows @ up).mul_(ctx.scaling)
        grad_x = (grad_columns @ down).view(*grad.shape[:-1], -1).to(ctx.dtype)
        return grad, grad_x, (grad_columns.t() @ rows).float(), (grad_rows.t() @ columns).float(), None


def _cast_output(layer: Any, stack: ExitStack) -> None:
    """The output layer reads a copy in bfloat16: it may share its weight with the embeddings, which stay float32."""
    weight = layer.weight
    layer.weight = nn.Parameter(weight.data.bfloat16(), requires_grad=False)
    stack.callback(setattr, layer, "weight", weight)
