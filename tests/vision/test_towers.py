"""The small tower: what is folded gives what was there before."""

import copy

import torch
from torch import nn

from mmduet.vision.efficientnet import EfficientNetLiteConfig, EfficientNetLiteTower, _efficientnet, fold


@torch.no_grad()
def test_folded_tower_is_the_published_network():
    torch.manual_seed(0)
    network = _efficientnet()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # fresh ones change nothing
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.bias, std=0.1)
    folded = fold(copy.deepcopy(network))
    assert not any(isinstance(module, nn.BatchNorm2d | nn.ZeroPad2d) for module in folded.modules())
    tower = EfficientNetLiteTower(EfficientNetLiteConfig())
    tower.model.load_state_dict(folded.state_dict())
    pixels = torch.randn(2, 3, 224, 224)
    wanted = network.extract_features(pixels)
    assert wanted.std() > 0.1
    torch.testing.assert_close(tower(pixels).transpose(1, 2).unflatten(2, (7, 7)), wanted, rtol=1e-4, atol=1e-4)
