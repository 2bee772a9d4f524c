"""Causal attention of many new tokens over a long context, without the mask that torch wants for it.

On a CPU the new tokens attend to the context, where nothing is masked, and to each other, where torch's causal kernel
leaves out what is masked; the two are put together by their log-sum-exps, which is exact (Dao et al., FlashAttention,
arXiv 2205.14135, section 3.1). A mask of new x all tokens costs more, the more tokens there are: it is read for each
head, and half of the new tokens' square is computed to be thrown away. On a GPU the flash kernel does the same in one,
on keys and values that are not repeated for each head that shares them.
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
FEWEST = 64  # new tokens on a CPU: below, two calls cost more than one with a mask
FULL = 1024  # new tokens on a GPU: from here on cuDNN's kernel is worth the plan it makes for each length …
STEP = 2048  # … of keys, so they come in whole steps, and the rest go to the flash kernel
NOT_HERE = ("softcap", "position_bias", "s_aux")  # what some models add to the scores; only "eager" knows all of them


def use_split_attention(model: Backbone) -> None:
    """Let the language model attend so wherever it would have by torch's `scaled_dot_product_attention`.

    The same results up to rounding. What it does not cover (padding, sliding windows, gradients) goes as before.
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
    """query [B, heads, n, D]; key, value [B, key heads, m, D] -> [B, n, heads, D]; transformers' attention interface.

    Without a mask the queries are the last n of m tokens. context: holds these keys and values with those before them,
    and attends in their stead. Raises CheckpointError for scores that a model changes.
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
    share = torch.sigmoid(before[1] - among[1]).unsqueeze(-1).to(query.dtype)
    return torch.lerp(among[0], before[0], share).transpose(1, 2), None


def _check_plain(kwargs: dict[str, Any]) -> None:
    if given := [name for name in NOT_HERE if kwargs.get(name) is not None]:
        raise CheckpointError(
            f"the language model's attention has {', '.join(given)}: load it with attn_implementation='eager'."
        )


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None, *, causal: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """[B, heads, n, D] and the log of each query's sum of exponentials, [B, heads, n]."""
    # what scaled_dot_product_attention calls on a CPU; it alone gives the sums, too
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return attend(query, key, value, 0.0, causal, scale=scale)


def _attend_by_cudnn(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `_attend`, nothing masked, so that the heads that share a key head are queries of one."""
    queries = query.reshape(1, key.shape[1], -1, query.shape[-1])
    found, sums, *_ = torch.ops.aten._scaled_dot_product_cudnn_attention(
        queries, key, value, None, True, 0.0, False, False, scale=scale
    )
    return found.reshape(query.shape), sums.reshape(query.shape[:-1])


def _suits_cudnn(query: torch.Tensor) -> bool:
    """Whether cuDNN's attention takes it, and is the faster one."""
    size = query.shape[-1]
    return size <= 128 and size % 8 == 0 and _has_fast_cudnn(query.device)


@cache
def _has_fast_cudnn(device: torch.device) -> bool:
    """On Hopper and later."""
    return torch.backends.cudnn.is_available() and torch.cuda.get_device_capability(device)[0] >= 9


def _mask(**kwargs: Any) -> torch.Tensor | None:
    """None where `split_attention` needs none, else `scaled_dot_product_attention`'s."""
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
