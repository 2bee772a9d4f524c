"""Backbones: what the session, the training and the adapters ask of a family of models.

`DuetForConditionalGeneration` is MMDuet's own. A researcher's own class needs the same attributes and methods, and may
be a subclass that replaces some of them (`examples/own_backbone.py`). The chat format and the normalisation of pixels
belong to its processor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import nn

Decides = Literal["heads", "words"]


@dataclass(frozen=True, slots=True)
class EmbeddedTokens:
    """Consecutive tokens, as the language model reads them: a frame, or a piece of text.

    Attributes:
        embeds: Input embeddings, [T, H]. T may differ from frame to frame.
        position_ids: int64 [P, T]; a frame's are relative to its first position. None: counted up by one.
    """

    embeds: torch.Tensor
    position_ids: torch.Tensor | None = None

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.embeds)

    def __getitem__(self, part: slice) -> "EmbeddedTokens":
        """Return some of the tokens."""
        return EmbeddedTokens(self.embeds[part], None if self.position_ids is None else self.position_ids[:, part])

    @property
    def span(self) -> int:
        """The number of positions that the tokens take."""
        return len(self) if self.position_ids is None else int(self.position_ids.max()) + 1

    def at(self, position: int) -> "EmbeddedTokens":
        """Return the tokens with their positions counted from `position` on."""
        return self if self.position_ids is None else EmbeddedTokens(self.embeds, self.position_ids + position)

    @staticmethod
    def join(parts: "Sequence[EmbeddedTokens]") -> "EmbeddedTokens":
        """Return consecutive parts as one. All of them have position ids, or none has."""
        positions = [part.position_ids for part in parts if part.position_ids is not None]
        embeds = torch.cat([part.embeds for part in parts])
        return EmbeddedTokens(embeds, torch.cat(positions, 1) if positions else None)


class Backbone(Protocol):
    """A torch module that reads frames among its tokens, and says after each whether it speaks.

    Attributes:
        lora_targets: Regular expression of the module names that LoRA is added to.
        trained_in_full: Modules that are trained in full and saved with an adapter.
        embedding_names: Names of the input and output embeddings' tensors.
        decides: ``heads``: two heads score each frame. ``words``: the model answers, and words of silence mean silence.
        position_axes: P, the rows of a token's position ids. 0: positions are counted up by one, and the language
            model counts them itself.
        config: A transformers config; its text_config is the language model's.
        language_model: The causal language model.
    """

    lora_targets: ClassVar[str]
    trained_in_full: ClassVar[tuple[str, ...]]
    embedding_names: ClassVar[tuple[str, str]]
    decides: ClassVar[Decides]
    position_axes: ClassVar[int]
    config: Any
    language_model: Any

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        ...

    def eval(self) -> Any:
        """Set evaluation mode."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return the weights."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Return the weights and their names."""
        ...

    def encode_frames(self, pixel_values: torch.Tensor) -> Sequence[torch.Tensor]:
        """Turn the processor's pixel values of N frames into N input embeddings, [T_i, H] each."""
        ...

    def frame_position_ids(self, pixel_values: torch.Tensor) -> Sequence[torch.Tensor] | None:
        """Return each frame's positions relative to its first, int64 [P, T_i]; None where `position_axes` is 0.

        The token after a frame has the frame's largest position + 1 on all axes.
        """
        ...

    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding of token ids."""
        ...

    def hidden_states(self, inputs_embeds: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """Run the language model's body: [B, L, H] embeddings to [B, L, H] hidden states after the final norm."""
        ...

    def vocabulary_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return [..., V] logits of [..., H] hidden states."""
        ...

    def score_frames(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return both heads' probabilities, float32 [n, 2], from hidden states [n, H] at frames' last tokens.

        A model that decides in words is not asked.
        """
        ...
