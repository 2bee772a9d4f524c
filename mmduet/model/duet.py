"""DuetConfig and DuetForConditionalGeneration: vision tower, projector, causal LM, two heads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Cache,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.configuration_utils import SubConfigSpec
from transformers.utils import ModelOutput

from mmduet.errors import CheckpointError, DuetError
from mmduet.model.heads import HEAD_NAMES, TwoHeads
from mmduet.model.losses import lm_loss, video_loss
from mmduet.model.projector import build_projector
from mmduet.vision.pooling import FramePool, pooled_side
from mmduet.vision.towers import build_vision_tower

# Frames in one pass of the vision tower: another number changes how sums round. With 8 frames a layer of `mini` fills
# more than 32 MB, which glibc requests from the system each time, with page faults.
ENCODE_AT_ONCE = 6


@strict
class DuetConfig(PreTrainedConfig):
    """The parts of a duet model.

    Attributes:
        text_config: The config of any transformers causal LM.
        vision_config: The config of a vision tower (`mmduet.vision.towers.TOWERS`).
        image_token_id: The id that stands for one embedding of a frame in `input_ids`. It may lie outside the
            vocabulary, since it is never embedded.
        projector_type: ``linear``, ``mlpNx_gelu`` or ``slots``.
        projector_norm: Whether a layer norm precedes the projector.
        pool_mode: The mode of `mmduet.vision.pooling.FramePool`.
        pool_stride: The stride of `mmduet.vision.pooling.FramePool`.
    """

    model_type = "duet"
    sub_configs_defaults = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama"),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="siglip_vision_model"),
    }

    text_config: Any = None
    vision_config: Any = None
    image_token_id: int = 0
    projector_type: str = "mlp2x_gelu"
    projector_norm: bool = False
    pool_mode: str = "bilinear"
    pool_stride: int = 4
    tie_word_embeddings: bool = False

    @property
    def grid_side(self) -> int:
        """Cells along one side of the vision tower's square feature grid."""
        return self.vision_config.image_size // self.vision_config.patch_size

    @property
    def tokens_per_frame(self) -> int:
        """Language-model tokens one frame takes."""
        return pooled_side(self.grid_side, self.pool_stride, self.pool_mode) ** 2


AutoConfig.register(DuetConfig.model_type, DuetConfig, exist_ok=True)


@dataclass
class DuetOutput(ModelOutput):
    """The result of `DuetForConditionalGeneration.forward`; what was not asked for is None.

    Attributes:
        loss: The sum of the losses that exist.
        lm_loss: Next-token cross-entropy.
        video_loss: Cross-entropy of both heads.
        logits: [n, V], at the labelled positions only.
        informative_logits: [frames, 2], the batch's rows one after the other.
        relevance_logits: Likewise.
        frame_ends: bool [B, L], true at the last token of each frame.
        last_hidden_state: [B, L, H].
        past_key_values: The cache, if one was given.
    """

    loss: torch.Tensor | None = None
    lm_loss: torch.Tensor | None = None
    video_loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    informative_logits: torch.Tensor | None = None
    relevance_logits: torch.Tensor | None = None
    frame_ends: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    past_key_values: Cache | None = None


class DuetForConditionalGeneration(TwoHeads, PreTrainedModel, GenerationMixin):
    """A causal LM that reads frames among its tokens and scores each frame: MMDuet's `Backbone`.

    A frame is consecutive image tokens. Both heads read the LM's last hidden state at the frame's last token.
    Vocabulary logits are computed at labelled positions only.
    """

    lora_targets: ClassVar[str] = r".*language_model\..*(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)$"
    trained_in_full: ClassVar[tuple[str, ...]] = ("projector", *HEAD_NAMES)
    embedding_names: ClassVar[tuple[str, str]] = (
        "language_model.model.embed_tokens.weight",
        "language_model.lm_head.weight",
    )
    decides: ClassVar[Literal["heads", "words"]] = "heads"
    position_axes: ClassVar[int] = 0
    config_class = DuetConfig
    config: DuetConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    accepts_loss_kwargs = False  # both losses are means: Trainer divides by its accumulation steps

    def __init__(self, config: DuetConfig):
        super().__init__(config)
        text = config.text_config
        if getattr(text, "final_logit_softcapping", None) or getattr(text, "logit_scale", None):
            raise CheckpointError(
                f"language model {text.model_type!r} rescales its logits after the output layer, which this model "
                "does not do: use one that does not (Llama, Qwen2, SmolLM2 …)."
            )
        self.vision_tower = build_vision_tower(config.vision_config)
        self.projector = build_projector(
            config.projector_type,
            config.vision_config.hidden_size,
            text.hidden_size,
            cells=config.grid_side**2,
            norm=config.projector_norm,
        )
        self.pool = FramePool(side=config.grid_side, stride=config.pool_stride, mode=config.pool_mode)
        self.language_model = AutoModelForCausalLM.from_config(text, trust_remote_code=False)
        self.add_heads(text.hidden_size)
        self.post_init()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding of token ids."""
        return self.language_model.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """Return the layer that makes vocabulary logits."""
        return self.language_model.get_output_embeddings()

    def train(self, mode: bool = True) -> "DuetForConditionalGeneration":
        """Set the mode of all parts but the vision tower, which is frozen and stays in evaluation mode."""
        super().train(mode)
        self.vision_tower.eval()
        return self

    # frames -> embeddings

    @torch.no_grad()
    def vision_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Run the frozen part: [N, 3, S, S] normalised pixels to [N, cells, D], the cells that pooling reads.

        It records no gradient: activation checkpointing makes transformers require a gradient of the tower's inputs,
        which would keep the graph of the whole tower. It runs in the tower's own precision, also under autocast, so
        that stored features equal recomputed ones.
        """
        with torch.autocast(pixel_values.device.type, enabled=False):
            features = self.vision_tower(pixel_values.to(next(self.vision_tower.parameters()).dtype))
        return features[:, self.pool.placed(features.device, features.dtype)[0]]

    def frame_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Run `vision_features` on ENCODE_AT_ONCE frames at a time, the last pass filled up.

        A frame's features are then the same bits in any company. With other numbers of frames at a time features
        differ by 1e-5, and losses by 1e-2 after two steps of training.
        """
        *whole, last = pixel_values.split(ENCODE_AT_ONCE)
        filled = F.pad(last, (0,) * 7 + (ENCODE_AT_ONCE - len(last),))
        return torch.cat([self.vision_features(part) for part in (*whole, filled)])[: len(pixel_values)]

    def project_features(self, features: torch.Tensor) -> torch.Tensor:
        """Turn [N, cells, D] vision features into [N, tokens_per_frame, H] input embeddings."""
        return self.pool(self.projector(features))

    def encode_frames(self, pixel_values: torch.Tensor) -> Sequence[torch.Tensor]:
        """Turn [N, 3, S, S] normalised pixels into N input embeddings, [tokens_per_frame, H] each."""
        return self.project_features(self.vision_features(pixel_values)).unbind()

    def frame_position_ids(self, pixel_values: torch.Tensor) -> Sequence[torch.Tensor] | None:
        """Return None: positions are counted up by one."""
        return None

    def embed(self, input_ids: torch.Tensor, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        """Embed ids and put the frames' embeddings at the image tokens, in order.

        Args:
            input_ids: [B, L].
            frames: Input embeddings of each frame, [T_i, H].

        Returns:
            Input embeddings, [B, L, H].

        Raises:
            DuetError: The ids hold another number of image tokens than the frames fill.
        """
        is_image = input_ids == self.config.image_token_id
        filled = sum(map(len, frames))
        if int(is_image.sum()) != filled:
            raise DuetError(
                f"input_ids hold {int(is_image.sum())} image tokens, the frames given fill {filled}: give each frame "
                "as many image tokens as it has embeddings."
            )
        embeds = self.get_input_embeddings()(input_ids.masked_fill(is_image, 0))
        if not len(frames):
            return embeds
        return embeds.masked_scatter(is_image.unsqueeze(-1), torch.cat([*frames]).to(embeds.dtype))

    def frame_ends(self, input_ids: torch.Tensor, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return bool [B, L]: true at the last token of each frame, for [B, L] ids that hold these frames in order."""
        places = (input_ids == self.config.image_token_id).flatten().nonzero()[:, 0]
        ends = torch.zeros(input_ids.numel(), dtype=torch.bool, device=input_ids.device)
        lengths = torch.tensor([len(frame) for frame in frames], dtype=torch.long, device=input_ids.device)
        ends[places[lengths.cumsum(0) - 1]] = True
        return ends.view(input_ids.shape)

    # the language model

    def hidden_states(self, inputs_embeds: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """Run the language model's body: [B, L, H] embeddings to [B, L, H] hidden states after the final norm.

        Args:
            inputs_embeds: Input embeddings.
            **kwargs: Arguments of the body (attention_mask, past_key_values, position_ids …).
        """
        return self.language_model.base_model(inputs_embeds=inputs_embeds, **kwargs).last_hidden_state

    def vocabulary_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return [..., V] logits of [..., H] hidden states."""
        return self.get_output_embeddings()(hidden)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        vision_features: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        informative_labels: torch.Tensor | None = None,
        relevance_labels: torch.Tensor | None = None,
        lm_normalizer: torch.Tensor | None = None,
        video_normalizer: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
    ) -> DuetOutput:
        """Run whole conversations, and compute what the labels allow.

        The losses follow MMDuet (arXiv 2411.17991, section 3): lm_loss is next-token cross-entropy, the mean over
        labelled tokens; video_loss is one cross-entropy, the mean over the labelled frames of both heads together.

        Args:
            input_ids: [B, L].
            attention_mask: [B, L].
            pixel_values: [N, 3, S, S], the batch's frames in order.
            vision_features: [N, cells, D], their stored features, instead of pixel_values.
            labels: [B, L], token ids or -100, unshifted as everywhere in transformers.
            informative_labels: [B, L], 0 or 1 at the last token of a labelled frame, else -100.
            relevance_labels: Likewise.
            lm_normalizer: [B], the number that each row's sum of token losses is divided by, where a batch is only a
                part of what the mean is over. The loss is then the sum of the quotients, 0 where nothing is labelled.
            video_normalizer: Likewise, for frame losses.
            past_key_values: A cache to fill.

        Raises:
            DuetError: The ids hold another number of image tokens than the frames fill, a frame label is not at a
                frame's last token, or a subclass replaces `encode_frames`.
        """
        frames = self._frames(pixel_values, vision_features)
        cache = {"past_key_values": past_key_values, "use_cache": past_key_values is not None}
        hidden = self.hidden_states(self.embed(input_ids, frames), attention_mask=attention_mask, **cache)
        ends = self.frame_ends(input_ids, frames)
        informative, relevance = self.head_logits(hidden[ends])
        logits, words_loss = lm_loss(self.vocabulary_logits, hidden, labels, lm_normalizer)
        heads = [(informative, informative_labels), (relevance, relevance_labels)]
        frame_loss = video_loss(heads, ends, video_normalizer)
        losses = [loss for loss in (words_loss, frame_loss) if loss is not None]
        return DuetOutput(
            sum(losses[1:], losses[0]) if losses else None, words_loss, frame_loss, logits, informative, relevance,
            ends, hidden, past_key_values,
        )  # fmt: skip

    def _frames(self, pixel_values: torch.Tensor | None, features: torch.Tensor | None) -> Sequence[torch.Tensor]:
        given = pixel_values is not None or features is not None
        if given and type(self).encode_frames is not DuetForConditionalGeneration.encode_frames:
            raise DuetError(
                f"{type(self).__name__} replaces encode_frames, but whole conversations are embedded by "
                "vision_features and project_features: replace these two instead, or write a forward of your own."
            )
        if pixel_values is not None:
            features = self.frame_features(pixel_values)
        return () if features is None else self.project_features(features.to(self.dtype)).unbind()
