"""FixedContext: a stream's keys and values, as a recorded graph reads them.

A graph's launches are all the same, so the buffers keep their addresses and sizes, and the number of valid tokens is on
the device. Few queries over a long context would occupy a small part of a GPU. The context is cut into pieces,
which are attended to in parallel and combined by their log-sum-exps (Dao et al., Flash-Decoding,
https://crfm.stanford.edu/2023/10/12/flashdecoding.html).
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention.varlen import AuxRequest, varlen_attn
from transformers import Cache

from mmduet.kernels.kv_cache import StreamCache

FLASH_DTYPES = (torch.bfloat16, torch.float16)
LARGEST_HEAD = 256  # the flash kernel's largest head dimension
BLOCK = 128  # queries of one thread block
MOST_PIECES = 32


class FixedContext(Cache):
    """The cache of a graph's forward pass.

    New keys and values are written after the valid ones; later buffer entries are never read.
    """

    def __init__(self, cache: StreamCache, length: torch.Tensor, new: int, *, heads: int, pieces: int = 1):
        """Wrap a cache for a graph.

        Args:
            cache: The cache.
            length: int64 [1] on the device: the number of valid tokens.
            new: The number of new tokens.
            heads: Query heads.
            pieces: Pieces that the context is cut into. 1: attended to at once, with a mask.
        """
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
        """Return the new keys and values; `attend` writes them into the buffers."""
        return key_states, value_states

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """Attend to the context and the new tokens.

        Args:
            layer: The layer's index.
            query: [1, heads, n, D].
            key: [1, key heads, n, D].
            value: [1, key heads, n, D].
            scale: Of the scores. None: 1 / sqrt(D).

        Returns:
            [1, n, heads, D].
        """
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
        """Attend to the context: results [n, heads, pieces, D], log-sum-exps [n, heads, pieces].

        query is [heads, n, D], keys and values are [key heads, capacity, D]. Nothing is masked, so the heads that share
        a key head become queries of one head.
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
    """Causal attention of the last n tokens through the flash kernel.

    Returns:
        Results [B, heads, n, D], and each query's log-sum-exp, [B, heads, n].
    """
    # scaled_dot_product_attention calls this on a GPU, and drops the log-sum-exps
    found, sums, *_ = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, 0.0, True, scale=scale)
    return found, sums


def combine(parts: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Combine attention to several parts, [..., parts, D], by their log-sum-exps, [..., parts]."""
    share = sums.softmax(-1).unsqueeze(-1)
    return (parts * share).sum(-2, dtype=parts.dtype)


def pieces_for(device: torch.device, dtype: torch.dtype, *, heads: int, shared: int, size: int, new: int) -> int:
    """Return the number of pieces of a context that lets `new` queries occupy a GPU.

    Args:
        device: Where the model is.
        dtype: The precision of keys and values.
        heads: Query heads.
        shared: Key heads.
        size: The head dimension.
        new: New tokens.
    """
    if device.type != "cuda" or dtype not in FLASH_DTYPES or size > LARGEST_HEAD or size % 8:
        return 1
    properties = torch.cuda.get_device_properties(device)
    if properties.major < 8:
        return 1
    blocks = shared * math.ceil(new * heads / shared / BLOCK)
    return min(MOST_PIECES, max(2, math.ceil(properties.multi_processor_count / blocks)))
