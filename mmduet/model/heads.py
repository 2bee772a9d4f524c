"""TwoHeads: MMDuet's informative and relevance heads, for any model with a hidden size."""

import torch
from torch import nn

HEAD_NAMES = ("informative_head", "relevance_head")


class TwoHeads:
    """The two heads of a module, which read the hidden state at a frame's last token."""

    informative_head: nn.Linear
    relevance_head: nn.Linear

    def add_heads(self, hidden_size: int) -> None:
        """Make the heads."""
        self.informative_head = nn.Linear(hidden_size, 2, bias=False)
        self.relevance_head = nn.Linear(hidden_size, 2, bias=False)

    def head_logits(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return informative and relevance logits, [n, 2] each, of hidden states [n, H] at frames' last tokens."""
        return self.informative_head(hidden), self.relevance_head(hidden)

    def score_frames(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return informative and relevance probabilities, float32 [n, 2], of hidden states [n, H]."""
        logits = torch.stack(self.head_logits(hidden), 1)
        return logits.float().softmax(-1)[..., 1]
