"""FixedContext: a stream's keys and values to a captured graph, whose every launch is the same.

The buffers keep their addresses and their size, and how many of their tokens count is a number on the device. Few
queries over a long context would fill a small part of a GPU, so the context is cut into pieces that are attended to at
once, like a batch, and put together by their log-sum-exps (Dao et al., Flash-Decoding,
https://crfm.stanford.edu/2023/10/12/flashdecoding.html).
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention.varlen import AuxRequest, varlen_attn
from transformers import Cache

from mmduet.model.kv_cache import StreamCache

FLASH_DTYPES = (torch.bfloat16, torch.float16)
LARGEST_HEAD = 256  # numbers of a head that the flash kernel takes
BLOCK = 128  # queries that a processor of a GPU attends with at once
MOST_PIECES = 32


class FixedContext(Cache):
    """The cache that a graph's forward of `new` tokens sees. length: int64 [1] on the device, the tokens before them.
    heads: of the queries.

    New keys and values are written behind these; what stands further behind is never read.
    """

    def __init__(self, cache: StreamCache, length: torch.Tensor, new: int, *, heads: int, pieces: int = 1):
        super().__init__(layers=cache.layers)
        self.positions = length + torch.arange(new, device=length.device)
        self.pieces = pieces
        if pieces > 1:
            seen = length + 1 if new == 1 else length  # one query sees itself, so it needs no causal part
            steps = torch.arange(pieces + 1, device=length.device)
            self.starts = (seen * steps // pieces).int()
            self.rows = new * heads // cache.buffers(0)[0].shape[1]  # queries of a piece
            self.ends = (steps * self.rows).int()
        else:
            self.mask = torch.arange(cache.capacity, device=length.device) <= self.positions[:, None]

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Unchanged: `attend` writes them."""
        return key_states, value_states

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """query [1, heads, n, D]; key, value [1, key heads, n, D], of the new tokens -> [1, n, heads, D]."""
        keys, values = self.layers[layer].buffers  # type: ignore[union-attr]
        keys.index_copy_(2, self.positions, key)
        values.index_copy_(2, self.positions, value)
        if self.pieces == 1:
            found = F.scaled_dot_product_attention(query, keys, values, self.mask, scale=scale, enable_gqa=True)
            return found.transpose(1, 2)
        before = self._attend_before(query[0], keys[0], values[0], scale)
        if query.shape[2] == 1:
            return combine(*before).unsqueeze(0)
        among = (part[0].transpose(0, 1).unsqueeze(2) for part in attend_by_flash(query, key, value, scale))
        return combine(*(torch.cat(some, 2) for some in zip(before, among, strict=True))).unsqueeze(0)

    def _attend_before(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """query [heads, n, D], keys and values [key heads, capacity, D] -> [n, heads, pieces, D], [n, heads, pieces].

        Nothing is masked here, so the heads that share a key head are queries of one.
        """
        (heads, new, size), shared = query.shape, len(keys)
        rows = query.view(shared, -1, new, size).permute(2, 1, 0, 3)  # [n, group, key heads, D]
        queries = rows.expand(self.pieces, *rows.shape).reshape(-1, shared, size)
        found, sums = varlen_attn(
            queries, keys.transpose(0, 1), values.transpose(0, 1), self.ends, self.starts, self.rows, keys.shape[1],
            return_aux=AuxRequest(lse=True), scale=scale,
        )  # fmt: skip
        found = found.view(self.pieces, new, -1, shared, size).permute(1, 3, 2, 0, 4)
        sums = sums.view(shared, self.pieces, new, -1).permute(2, 0, 3, 1)
        return found.reshape(new, heads, self.pieces, size), sums.reshape(new, heads, self.pieces)


def attend_by_flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Causal attention of the last n tokens, [B, heads, n, D], and the log of each query's sum of exponentials,
    [B, heads, n].
    """
    # what scaled_dot_product_attention calls on a GPU; it alone gives the sums, too
    found, sums, *_ = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, 0.0, True, scale=scale)
    return found, sums


def combine(parts: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Attention to several parts, [..., parts, D], and the logs of their sums of exponentials, [..., parts], in one."""
    share = sums.softmax(-1).unsqueeze(-1)
    return (parts * share).sum(-2, dtype=parts.dtype)


def pieces_for(device: torch.device, dtype: torch.dtype, *, heads: int, shared: int, size: int, new: int) -> int:
    """Into how many pieces a context is cut, so that `new` queries fill a GPU; 1: attended to in one, with a mask."""
    if device.type != "cuda" or dtype not in FLASH_DTYPES or size > LARGEST_HEAD or size % 8:
        return 1
    properties = torch.cuda.get_device_properties(device)
    if properties.major < 8:
        return 1
    blocks = shared * math.ceil(new * heads / shared / BLOCK)
    return min(MOST_PIECES, max(2, math.ceil(properties.multi_processor_count / blocks)))
