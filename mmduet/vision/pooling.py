"""FramePool: fewer tokens a frame, from the square grid of features."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from mmduet.errors import CheckpointError

POOL_MODES = ("bilinear", "average", "max")


def pooled_side(side: int, stride: int, mode: str) -> int:
    """Return the tokens along one side of a pooled grid; LLaVA-NeXT's windows skip an incomplete last one."""
    return math.ceil(side / stride) if mode == "bilinear" else side // stride


class FramePool(nn.Module):
    """Pools each frame's side x side grid, as LLaVA-NeXT does.

    ``bilinear`` interpolates to ceil(side / stride) squared without corner alignment, as in the published model.
    ``average`` and ``max`` take the floor(side / stride) squared complete windows.

    Attributes:
        cells: The cells of the grid that are used, int64, ascending: 169 of 729 where bilinear pools 27 to 7. The
            others need not be projected or stored.
        weights: [tokens, side * side], what each cell contributes to each token.
        tokens: Tokens of a frame.
    """

    def __init__(self, *, side: int, stride: int, mode: str):
        """Prepare the pooling.

        Args:
            side: Cells along one side of the grid.
            stride: Cells that become one token along a side.
            mode: ``bilinear``, ``average`` or ``max``.

        Raises:
            CheckpointError: The mode is not known.
        """
        super().__init__()
        if mode not in POOL_MODES:
            raise CheckpointError(f"pool_mode={mode!r} is not known; known are {POOL_MODES}.")
        self.side, self.stride, self.mode = side, stride, mode
        self.tokens = pooled_side(side, stride, mode) ** 2
        self._placed: dict[tuple[torch.device, torch.dtype], tuple[torch.Tensor, torch.Tensor]] = {}
        # plain tensors on the CPU, no weights, even while transformers builds the model on the meta device
        with torch.device("cpu"):
            eye = torch.eye(side**2).view(-1, 1, side, side)
            self.weights = self._grid(eye).flatten(1).T.contiguous()  # [tokens, side * side]
            self.cells = (self.weights != 0).any(0).nonzero().flatten()
            if mode == "max":
                whole = pooled_side(side, stride, mode) * stride
                self.cells = torch.arange(side**2).view(side, side)[:whole, :whole].flatten()

    def _grid(self, grid: torch.Tensor) -> torch.Tensor:
        if self.mode == "bilinear":
            size = pooled_side(self.side, self.stride, self.mode)
            return F.interpolate(grid, size=(size, size), mode="bilinear", align_corners=False)
        pool = F.avg_pool2d if self.mode == "average" else F.max_pool2d
        return pool(grid, self.stride)

    def placed(self, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `cells` and their columns of `weights`, in this precision on a device; they are copied there once."""
        if (device, dtype) not in self._placed:
            with torch.inference_mode(False):  # training may use them as well
                self._placed[device, dtype] = self.cells.to(device), self.weights[:, self.cells].to(device, dtype)
        return self._placed[device, dtype]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Pool [N, len(cells), H] features of the used cells, in order, to [N, tokens, H]."""
        if self.mode == "max":
            whole = math.isqrt(len(self.cells))
            grid = features.transpose(1, 2).unflatten(2, (whole, whole))
            return self._grid(grid).flatten(2).transpose(1, 2)
        return self.placed(features.device, features.dtype)[1] @ features
