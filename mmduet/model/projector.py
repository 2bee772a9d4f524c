"""Projector: from a vision tower's features to embeddings of the language model."""

import re
from typing import Any

import torch
from torch import nn

from mmduet.errors import CheckpointError

MOST_LAYERS = 16


def build_projector(kind: str, features: int, hidden_size: int, *, cells: int, norm: bool = False) -> nn.Sequential:
    """Build the projector: ``linear`` or ``mlpNx_gelu`` (N linear layers with GELU between), as LLaVA names them.

    Args:
        kind: Its type. ``slots`` is for a tower whose features are embeddings (`mmduet.vision.concepts.ConceptTower`):
            a gain and a bias for each cell.
        features: Width of the tower's features.
        hidden_size: Width of the language model's embeddings.
        cells: Cells of a frame's features.
        norm: Whether a layer norm comes first.

    Raises:
        CheckpointError: The type is not known, or the widths of ``slots`` differ.
    """
    if kind == "slots":
        if features != hidden_size:
            raise CheckpointError(
                f"projector_type='slots': the tower's features have width {features}, the language model's embeddings "
                f"{hidden_size}: the two must be equal."
            )
        return nn.Sequential(SlotScale(cells, hidden_size))
    mlp = re.fullmatch(r"mlp0*([0-9]{1,2})x_gelu", kind)
    depth = 1 if kind == "linear" else int(mlp[1]) if mlp else 0
    if not 1 <= depth <= MOST_LAYERS:
        raise CheckpointError(
            f"projector_type={kind!r} is not known: use 'linear', 'slots' or 'mlpNx_gelu', N from 1 to {MOST_LAYERS}."
        )
    layers: list[nn.Module] = [nn.LayerNorm(features)] if norm else []
    layers.append(nn.Linear(features, hidden_size))
    for _ in range(depth - 1):
        layers += [nn.GELU(), nn.Linear(hidden_size, hidden_size)]
    return nn.Sequential(*layers)


class SlotScale(nn.Module):
    """A learnt gain and bias for each of a frame's tokens: the projector of features that are embeddings already."""

    def __init__(self, slots: int, hidden_size: int):
        super().__init__()
        self.gain, self.bias = nn.Parameter(torch.ones(slots, 1)), nn.Parameter(torch.zeros(slots, hidden_size))

    def forward(self, features: torch.Tensor) -> Any:
        """Turn [N, slots, H] features into embeddings of the same shape."""
        return features * self.gain + self.bias
