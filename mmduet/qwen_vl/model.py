"""QwenVLWords and QwenVLHeads: transformers' Qwen2.5-VL with the members of a `Backbone`.

Qwen3-VL does not run behind the same seam yet: its vision features also enter the language model's first layers at the
frames' tokens (DeepStack), and `EmbeddedTokens` carries one embedding a token.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from mmduet.errors import DuetError
from mmduet.model.duet import DuetOutput
from mmduet.model.heads import HEAD_NAMES, TwoHeads
from mmduet.model.losses import lm_loss, video_loss


class QwenVLWords(Qwen2_5_VLForConditionalGeneration):
    """Qwen2.5-VL that answers after each piece of video (MMDuet2, arXiv 2512.06810). The weights are stock."""

    lora_targets: ClassVar[str] = r".*language_model\..*(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)$"
    trained_in_full: ClassVar[tuple[str, ...]] = ()
    embedding_names: ClassVar[tuple[str, str]] = ("model.language_model.embed_tokens.weight", "lm_head.weight")
    decides: ClassVar[Literal["heads", "words"]] = "words"
    position_axes: ClassVar[int] = 3  # time, height, width
    config: Any

    @property
    def language_model(self) -> Any:
        """The language model's body."""
        return self.model.language_model

    def encode_frames(self, pixel_values: torch.Tensor) -> Sequence[torch.Tensor]:
        """Turn the processor's pixel values, [N, rows, columns, patches, values], into N embeddings [T, H] each."""
        flat = pixel_values.flatten(0, 3)
        return self.model.get_image_features(flat, self._grids(pixel_values)).pooler_output

    def frame_position_ids(self, pixel_values: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return N frames' positions relative to their first: time, height and width, int64 [3, T]."""
        grids, merge = self._grids(pixel_values), self.config.vision_config.spatial_merge_size
        positions = self.model.get_vision_position_ids(0, grids[0], 1, merge, device=pixel_values.device)
        return [positions] * len(grids)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        image_grid_thw: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        informative_labels: torch.Tensor | None = None,
        relevance_labels: torch.Tensor | None = None,
        lm_normalizer: torch.Tensor | None = None,
        video_normalizer: torch.Tensor | None = None,
    ) -> DuetOutput:
        """Run whole conversations, and compute what the labels allow, as `DuetForConditionalGeneration.forward`.

        The vision tower is frozen and records no gradient.

        Args:
            input_ids: [B, L].
            attention_mask: [B, L].
            pixel_values: Patches of all frames in order, [n, values].
            image_grid_thw: Time, rows and columns of each frame in patches, [N, 3].
            labels: [B, L], token ids or -100, unshifted.
            informative_labels: [B, L], 0 or 1 at the last token of a labelled frame, else -100.
            relevance_labels: Likewise.
            lm_normalizer: As for MMDuet's own model.
            video_normalizer: Likewise.
        """
        is_image = input_ids == self.config.image_token_id
        embeds = self.get_input_embeddings()(input_ids)
        if pixel_values is not None:
            with torch.no_grad(), torch.autocast(pixel_values.device.type, enabled=False):
                frames = torch.cat(self.model.get_image_features(pixel_values, image_grid_thw).pooler_output)
            embeds = embeds.masked_scatter(is_image.unsqueeze(-1), frames.to(embeds.dtype))
        positions, _ = self.model.get_rope_index(
            input_ids, is_image.int(), image_grid_thw=image_grid_thw, attention_mask=attention_mask
        )
        hidden = self.hidden_states(embeds, attention_mask=attention_mask, position_ids=positions, use_cache=False)
        logits, words_loss = lm_loss(self.vocabulary_logits, hidden, labels, lm_normalizer)
        ends = input_ids == self.config.vision_end_token_id
        heads = self.head_logits(hidden[ends])
        if heads:
            labelled = (informative_labels, relevance_labels)
            frame_loss = video_loss(list(zip(heads, labelled, strict=True)), ends, video_normalizer)
        else:
            frame_loss = None if video_normalizer is None else hidden.new_zeros(())
        losses = [loss for loss in (words_loss, frame_loss) if loss is not None]
        total = sum(losses[1:], losses[0]) if losses else None
        informative, relevance = heads or (None, None)
        return DuetOutput(total, words_loss, frame_loss, logits, informative, relevance, ends, hidden)

    def _grids(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Time, rows and columns of each frame in patches, int64 [N, 3]."""
        frames, rows, columns = pixel_values.shape[:3]
        merge = self.config.vision_config.spatial_merge_size
        return torch.tensor([[1, rows * merge, columns * merge]] * frames, device=pixel_values.device)

    def hidden_states(self, inputs_embeds: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """Run the language model's body: [B, L, H] embeddings to [B, L, H] hidden states after the final norm.

        Args:
            inputs_embeds: Input embeddings.
            **kwargs: Arguments of the body (attention_mask, past_key_values, position_ids …).
        """
        return self.language_model(inputs_embeds=inputs_embeds, **kwargs).last_hidden_state

    def vocabulary_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return [..., V] logits of [..., H] hidden states."""
        return self.lm_head(hidden)

    def head_logits(self, hidden: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return nothing: this model has no heads."""
        return ()

    def score_frames(self, hidden: torch.Tensor) -> torch.Tensor:
        """Raise DuetError: this model has no heads."""
        raise DuetError("this Qwen2.5-VL decides in words and has no heads to score frames with.")


class QwenVLHeads(TwoHeads, QwenVLWords):
    """Qwen2.5-VL with MMDuet's two heads, which read the hidden state after each frame's last token."""

    trained_in_full: ClassVar[tuple[str, ...]] = HEAD_NAMES
    decides: ClassVar[Literal["heads", "words"]] = "heads"

    def __init__(self, config: Qwen2_5_VLConfig):
        super().__init__(config)
        text: Any = config.text_config
        self.add_heads(text.hidden_size)
        self.post_init()  # type: ignore[no-untyped-call]
