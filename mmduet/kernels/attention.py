"""Causal attention of many new tokens over a long context, without a mask.

On a CPU the new tokens attend to the context, unmasked, and to each other, through torch's causal kernel. The two
results are combined by their log-sum-exps, which is exact (Dao et al., FlashAttention, arXiv 2205.14135, section 3.1).
A mask of [new, all] tokens would be read for each head, and half of the new tokens' square would be computed in vain.
On a GPU the flash kernel does all of it in one call, on keys and values that are not repeated for the heads that share
them.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention.bias import causal_lower_right
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import causal_mask_function, sdpa_mask

from mmduet.errors import CheckpointError
from mmduet.kernels.fixed import FLASH_DTYPES, FixedContext, attend_by_flash
from mmduet.model.backbone import Backbone

NAME = "duet_sdpa"
FEWEST = 64  # new tokens on a CPU: with fewer, two calls cost more than one with a mask
FULL = 1024  # new tokens on a GPU: with more, cuDNN's kernel repays the plan it makes for each length …
STEP = 2048  # … of keys, so it gets whole steps of keys, and the flash kernel gets the rest
NOT_HERE = (
    "softcap",
    "position_bias",
    "s_aux",
)  # arguments of models that change the scores; only "eager" applies all of them


def use_split_attention(model: Backbone) -> None:
    """Replace torch's `scaled_dot_product_attention` in the language model.

    The results are the same up to rounding. Padding, sliding windows and gradients still use torch's.
    """
    config = model.language_model.config
    if config._attn_implementation == "sdpa":
        config._attn_implementation = NAME


def split_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    context: FixedContext | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend, with the signature of transformers' attention interface.

    Args:
        module: The layer's attention module.
        query: [B, heads, n, D].
        key: [B, key heads, m, D].
        value: As key.
        attention_mask: A mask. None: the queries are the last n of m tokens.
        dropout: Of the attention weights.
        scaling: Of the scores. None: 1 / sqrt(D).
        context: A graph's context, which holds all keys and values and attends itself.
        **kwargs: The model's other arguments.

    Returns:
        [B, n, heads, D], and None for the attention weights.

    Raises:
        CheckpointError: The model changes the scores in a way that this kernel does not know.
    """
    if context is not None:
        _check_plain(kwargs)
        return context.attend(module.layer_idx, query, key, value, scaling), None  # type: ignore[arg-type]
    new, all_ = query.shape[2], key.shape[2]
    if attention_mask is not None or new in (1, all_):
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    _check_plain(kwargs)
    old = all_ - new
    if query.is_cuda:
        first = old // STEP * STEP if new >= FULL and _suits_cudnn(query) else 0
        if not first:
            mask: Any = causal_lower_right(new, all_)
            found = F.scaled_dot_product_attention(query, key, value, mask, scale=scaling, enable_gqa=True)
            return found.transpose(1, 2), None
        before = _attend_by_cudnn(query, key[:, :, :first], value[:, :, :first], scaling)
        among = attend_by_flash(query, key[:, :, first:], value[:, :, first:], scaling)
    else:
        before = _attend(query, key[:, :, :old], value[:, :, :old], scaling, causal=False)
        among = _attend(query, key[:, :, old:], value[:, :, old:], scaling, causal=True)
    return _combined(before, among).transpose(1, 2), None


def _combined(before: tuple[torch.Tensor, torch.Tensor], among: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Combine attention to two parts, each with its log-sum-exps."""
    share = torch.sigmoid(before[1] - among[1]).unsqueeze(-1).to(among[0].dtype)
    return torch.lerp(among[0], before[0], share)


def _check_plain(kwargs: dict[str, Any]) -> None:
    if given := [name for name in NOT_HERE if kwargs.get(name) is not None]:
        raise CheckpointError(
            f"the language model's attention has {', '.join(given)}: load it with attn_implementation='eager'."
        )


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None, *, causal: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention, [B, heads, n, D], and each query's log-sum-exp, [B, heads, n]."""
    # scaled_dot_product_attention calls this on a CPU, and drops the log-sum-exps
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return attend(query, key, value, 0.0, causal, scale=scale)


def _attend_by_cudnn(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `_attend`, unmasked: the heads that share a key head become queries of one head."""
    queries = query.reshape(1, key.shape[1], -1, query.shape[-1])
    found, sums, *_ = torch.ops.aten._scaled_dot_product_cudnn_attention(
        queries, key, value, None, True, 0.0, False, False, scale=scale
    )
    return found.reshape(query.shape), sums.reshape(query.shape[:-1])


def _suits_cudnn(query: torch.Tensor) -> bool:
    """Whether cuDNN's attention supports the head dimension, and is faster."""
    size = query.shape[-1]
    return size <= 128 and size % 8 == 0 and _has_fast_cudnn(query.device)


@cache
def _has_fast_cudnn(device: torch.device) -> bool:
    """True on Hopper and later."""
    return torch.backends.cudnn.is_available() and torch.cuda.get_device_capability(device)[0] >= 9


def _mask(**kwargs: Any) -> torch.Tensor | None:
    """Return None where `split_attention` needs no mask, else the mask of `scaled_dot_product_attention`."""
    new, seen = kwargs["q_length"], kwargs["kv_length"]
    plain = kwargs.get("attention_mask") is None and kwargs.get("mask_function") is causal_mask_function
    last = kwargs.get("q_offset", 0) + new == kwargs.get("kv_offset", 0) + seen
    device = torch.device(kwargs["device"]).type
    covered = new >= FEWEST if device == "cpu" else device == "cuda" and kwargs["dtype"] in FLASH_DTYPES
    if plain and last and covered and new < seen and not torch.is_grad_enabled():
        return None
    return sdpa_mask(**kwargs)


AttentionInterface.register(NAME, split_attention)
AttentionMaskInterface.register(NAME, _mask)
