"""Causal attention of many new tokens over a long context, on a CPU, without the mask that torch wants for it.

The new tokens attend to the context, where nothing is masked, and to each other, where torch's causal kernel leaves out
what is masked; the two are put together by their log-sum-exps, which is exact (Dao et al., FlashAttention,
arXiv 2205.14135, section 3.1). A mask of new x all tokens costs more, the more tokens there are: it is read for each
head, and half of the new tokens' square is computed to be thrown away.
"""

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import causal_mask_function, sdpa_mask

from mmduet.errors import CheckpointError
from mmduet.model import DuetForConditionalGeneration

NAME = "duet_sdpa"
FEWEST = 64  # new tokens: below, two calls cost more than one with a mask
NOT_HERE = ("softcap", "position_bias", "s_aux")  # what some models add to the scores; only "eager" knows all of them


def use_split_attention(model: DuetForConditionalGeneration) -> None:
    """Let the language model attend so wherever it would have by torch's `scaled_dot_product_attention` on a CPU.

    The same results up to rounding. What it does not cover (padding, sliding windows, gradients) goes as before.
    """
    config = model.language_model.config
    if config._attn_implementation == "sdpa" and model.device.type == "cpu":
        config._attn_implementation = NAME


def split_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """query [B, heads, n, D]; key, value [B, key heads, m, D] -> [B, n, heads, D]; transformers' attention interface.

    Without a mask the queries are the last n of m tokens. Raises CheckpointError for scores that a model changes.
    """
    new, all_ = query.shape[2], key.shape[2]
    if attention_mask is not None or new in (1, all_):
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    if given := [name for name in NOT_HERE if kwargs.get(name) is not None]:
        raise CheckpointError(
            f"the language model's attention has {', '.join(given)}: load it with attn_implementation='eager'."
        )
    old = all_ - new
    context, context_sum = _attend(query, key[:, :, :old], value[:, :, :old], scaling, causal=False)
    among, among_sum = _attend(query, key[:, :, old:], value[:, :, old:], scaling, causal=True)
    share = torch.sigmoid(context_sum - among_sum).unsqueeze(-1).to(context.dtype)
    return torch.lerp(among, context, share).transpose(1, 2), None


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None, *, causal: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """[B, heads, n, D] and the log of each query's sum of exponentials, [B, heads, n]."""
    # what scaled_dot_product_attention calls on a CPU; it alone gives the sums, too
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return attend(query, key, value, 0.0, causal, scale=scale)


def _mask(**kwargs: Any) -> torch.Tensor | None:
    """None where `split_attention` needs none, else `scaled_dot_product_attention`'s."""
    new, seen = kwargs["q_length"], kwargs["kv_length"]
    plain = kwargs.get("attention_mask") is None and kwargs.get("mask_function") is causal_mask_function
    last = kwargs.get("q_offset", 0) + new == kwargs.get("kv_offset", 0) + seen
    if plain and last and FEWEST <= new < seen and not torch.is_grad_enabled():
        return None
    return sdpa_mask(**kwargs)


AttentionInterface.register(NAME, split_attention)
AttentionMaskInterface.register(NAME, _mask)
