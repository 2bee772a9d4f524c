"""ConceptTower: a vision tower whose features are names, so that a language model can read them without alignment.

EfficientNet-Lite0 carries its ImageNet classifier. A frame becomes four tokens in the language model's embedding space:
the first, second and further words of what the frame shows, and what else is in view. Concepts that a user adds are
further rows of the classifier.
"""

from typing import Any

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import AutoConfig, PreTrainedConfig

from mmduet.vision.efficientnet import EfficientNetLiteConfig, EfficientNetLiteTower

SLOTS = 4  # tokens of a frame: a name's first, second and further tokens, and all names in view


@strict
class ConceptConfig(PreTrainedConfig):
    """The concepts, and the sizes of the tower.

    Attributes:
        hidden_size: The width of the language model's embeddings.
        image_size: Pixels along a side of a frame.
        patch_size: A frame's four tokens count as a grid of two by two.
        feature_size: The width of EfficientNet's features.
        temperature: Divides the classifier's logits.
        concepts: The names of the classifier's rows. Several rows may share a name.
        added: The names of the rows that were added later.
    """

    model_type = "efficientnet_lite_concepts"
    hidden_size: int = 576
    image_size: int = 224
    patch_size: int = 112
    feature_size: int = 1280
    temperature: float = 0.6
    concepts: list[str] | tuple[str, ...] = ()
    added: list[str] | tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The name of each class, those that were added last."""
        return [*self.concepts, *self.added]


AutoConfig.register(ConceptConfig.model_type, ConceptConfig, exist_ok=True)


class ConceptTower(nn.Module):
    """EfficientNet-Lite0, its classifier, and the embeddings of the classes' names.

    Attributes:
        names: [SLOTS, classes, H], each name's first, second and further tokens, and the mean of them all.
        typical: [D], the mean feature of pictures of many kinds, from which the feature of a new concept is told apart.
        added_weight: [added, D], rows of further concepts.
        added_bias: [added]
        added_names: [SLOTS, added, H]
    """

    names: torch.Tensor
    typical: torch.Tensor
    added_weight: torch.Tensor
    added_bias: torch.Tensor
    added_names: torch.Tensor

    def __init__(self, config: ConceptConfig):
        super().__init__()
        self.config = config
        self.network = EfficientNetLiteTower(EfficientNetLiteConfig())
        self.classifier = nn.Linear(config.feature_size, len(config.concepts))
        self.register_buffer("names", torch.zeros(SLOTS, len(config.concepts), config.hidden_size))
        self.register_buffer("typical", torch.zeros(config.feature_size))
        self.make_room(len(config.added))

    def make_room(self, concepts: int) -> None:
        """Have so many added concepts, whose values are to be loaded."""
        like: Any = {"device": self.names.device, "dtype": self.names.dtype}
        self.register_buffer("added_weight", torch.zeros(concepts, self.config.feature_size, **like))
        self.register_buffer("added_bias", torch.zeros(concepts, **like))
        self.register_buffer("added_names", torch.zeros(SLOTS, concepts, self.config.hidden_size, **like))

    def add(self, name: str, weight: torch.Tensor, bias: torch.Tensor, embeddings: torch.Tensor) -> None:
        """Add a concept: its name, its row [D] and bias [] of the classifier, and its name's embeddings [SLOTS, H]."""
        self.config.added = [*self.config.added, name]
        self.added_weight = torch.cat([self.added_weight, weight.to(self.names)[None]])
        self.added_bias = torch.cat([self.added_bias, bias.to(self.names)[None]])
        self.added_names = torch.cat([self.added_names, embeddings.to(self.names)[:, None]], 1)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Turn [N, 3, S, S] pixel values into [N, SLOTS, H] embeddings."""
        cells = self.network(pixel_values)
        return self.read(self.logits(cells.mean(1)), self.logits(cells))

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Turn [..., D] features into [..., classes] logits."""
        known = self.classifier(features)
        if not len(self.added_bias):
            return known
        return torch.cat([known, F.linear(features, self.added_weight, self.added_bias)], -1)

    def read(self, logits: torch.Tensor, cell_logits: torch.Tensor) -> torch.Tensor:
        """Put what a frame shows into words.

        Args:
            logits: [N, classes], of the mean of a frame's cells.
            cell_logits: [N, cells, classes], of each cell.

        Returns:
            [N, SLOTS, H]: the expected embeddings of the name's first, second and further tokens by the frame's
            probabilities, and of the whole name by the mean of the cells'.
        """
        whole, part = self.probabilities(logits), self.probabilities(cell_logits).mean(1)
        names = torch.cat([self.names, self.added_names], 1)
        said = [shown.to(names.dtype) @ table for shown, table in zip((whole, whole, whole, part), names, strict=True)]
        return torch.stack(said, 1)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Turn [..., classes] logits into float32 probabilities."""
        return (logits.float() / self.config.temperature).softmax(-1)
