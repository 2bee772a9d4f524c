"""Packing: the language model reads a batch's conversations one after the other, without the padding between them.

For training in bfloat16 on a CPU. Each conversation attends to itself by matrix products, for a block of queries at a
time. torch's own kernel takes longer in its backward pass. The weights of all queries and keys of a batch would be more
memory than malloc keeps, so each layer would request it from the system again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.nn.functional import dropout as drop
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from mmduet.kernels.attention import NAME as SPLIT

NAME = "packed"
BLOCK = 256  # queries computed together: they share the keys up to the last of them
KEPT = 512  # tokens: the weights of a longer conversation are computed again, they would take over 0.1 GB for `mini`


@contextmanager
def packed(language_model: Any) -> Iterator[None]:
    """Read padded batches without their padding within a block. Hidden states of padding are 0, others are the same.

    A language model with another attention than `scaled_dot_product_attention` of all earlier tokens, or with other
    than rotary positions, is not changed.
    """
    config, body = language_model.config, language_model.base_model
    before = config._attn_implementation  # SPLIT, if a session has used the model
    sees_all = set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
    if before not in ("sdpa", SPLIT) or not sees_all or not hasattr(body, "rotary_emb"):
        yield
        return
    hooks = [
        body.register_forward_pre_hook(_pack, with_kwargs=True),
        body.register_forward_hook(_unpack, with_kwargs=True),
        body.rotary_emb.register_forward_hook(_round),
    ]
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        for hook in hooks:
            hook.remove()


def _pack(body: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """inputs_embeds [B, L, H] -> [1, tokens, H], each conversation's positions from 0."""
    mask = kwargs.get("attention_mask")
    if mask is None or kwargs.get("past_key_values") is not None:
        return args, kwargs
    here = mask.bool()
    embeds = kwargs["inputs_embeds"][here].unsqueeze(0)
    return args, kwargs | {
        "inputs_embeds": embeds,
        "attention_mask": torch.ones(embeds.shape[:2], dtype=torch.bool),
        "position_ids": (here.cumsum(1) - 1)[here].unsqueeze(0),
        "packed_from": here,
        "lengths": here.sum(1).tolist(),
    }


def _unpack(body: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    """last_hidden_state [1, tokens, H] -> [B, L, H]."""
    here = kwargs.get("packed_from")
    if here is not None:
        hidden = output.last_hidden_state[0]
        padded = hidden.new_zeros(*here.shape, hidden.shape[-1])
        output.last_hidden_state = padded.masked_scatter(here.unsqueeze(-1), hidden)
    return output


def _round(module: nn.Module, args: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Under autocast, convert cosines and sines to bfloat16: otherwise queries and keys become float32."""
    if not torch.is_autocast_enabled("cpu"):
        return output
    return tuple(values.to(torch.get_autocast_dtype("cpu")) for values in output)


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    lengths: list[int] | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of packed conversations, with the signature of transformers' attention interface.

    Args:
        module: The attention module.
        query: [1, heads, tokens, D]
        key: [1, key heads, tokens, D]
        value: [1, key heads, tokens, D]
        attention_mask: Used only without lengths.
        dropout: Share of the weights that are dropped.
        scaling: Factor of the scores; None for D ** -0.5.
        lengths: Tokens of each conversation. None calls torch's own attention.
        **kwargs: Passed on to torch's own attention.

    Returns:
        [1, tokens, heads, D], and None for the weights.
    """
    if lengths is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    arguments = query[0], key[0], value[0], lengths, scale, dropout
    if max(lengths) > KEPT:
        output = checkpoint(_attend_all, *arguments, use_reentrant=False, preserve_rng_state=dropout > 0)
    else:
        output = _attend_all(*arguments)
    return output.transpose(0, 1).unsqueeze(0), None


def _attend_all(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: list[int], scale: float, dropout: float
) -> torch.Tensor:
    """[heads, tokens, D]."""
    each = zip(query.split(lengths, 1), key.split(lengths, 1), value.split(lengths, 1), strict=True)
    return torch.cat([_attend(*one, scale, dropout) for one in each], 1)


def _attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, dropout: float) -> torch.Tensor:
    """One conversation's [heads, n, D]. The queries of all heads that share a key head are one matrix."""
    heads, tokens, size = query.shape
    outputs = []
    for start in range(0, tokens, BLOCK):
        seen = min(start + BLOCK, tokens)
        scores = torch.baddbmm(
            _mask(seen - start, seen, heads // len(key), query.dtype),
            query[:, start:seen].reshape(len(key), -1, size),
            key[:, :seen].transpose(1, 2),
            alpha=scale,
        )
        weights = drop(torch.softmax(scores, -1), dropout)
        outputs.append(torch.bmm(weights, value[:, :seen]).view(heads, -1, size))
    return torch.cat(outputs, 1)


@lru_cache(16)
def _mask(new: int, seen: int, heads: int, dtype: torch.dtype) -> torch.Tensor:
    """[heads x new, seen], -inf where a query, one of the last `new` of `seen` tokens, would attend to a later one."""
    return torch.full((new, seen), -torch.inf, dtype=dtype).triu(seen - new + 1).repeat(heads, 1)


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
