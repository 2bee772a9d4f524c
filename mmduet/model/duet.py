"""DuetConfig and DuetForConditionalGeneration: vision tower, projector, causal LM, two heads."""

from dataclasses import dataclass
from typing import Any

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
from mmduet.model.vision import FramePool, build_vision_tower, pooled_side

IGNORE = -100  # the label of a position that counts in no loss
# Frames in one pass of the vision tower, wherever there is one: in other numbers at once, sums round otherwise. Of 8, a
# layer of `mini` fills more than 32 MB, which glibc asks the system for, and page faults, each time.
ENCODE_AT_ONCE = 6
HEAD_NAMES = ("informative_head", "relevance_head")


@strict
class DuetConfig(PreTrainedConfig):
    """What a duet model is made of.

    text_config: any transformers causal LM's. vision_config: a tower's (`mmduet.model.vision.TOWERS`).
    image_token_id: stands for one pooled feature of a frame in `input_ids`; it may lie outside the
    vocabulary, since it is never embedded.
    projector_type: ``linear`` or ``mlpNx_gelu``; projector_norm: a layer norm before it.
    pool_mode, pool_stride: of `mmduet.model.vision.FramePool`.
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
    """What `DuetForConditionalGeneration.forward` returns; what was not asked for is None.

    loss: lm_loss + video_loss, whichever there are. logits: [n, V], at the labelled positions only.
    informative_logits, relevance_logits: [frames, 2], rows of the batch one after the other.
    last_hidden_state: [B, L, H]. past_key_values: the cache, if one was given.
    """

    loss: torch.Tensor | None = None
    lm_loss: torch.Tensor | None = None
    video_loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    informative_logits: torch.Tensor | None = None
    relevance_logits: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    past_key_values: Cache | None = None


def build_projector(config: DuetConfig) -> nn.Sequential:
    """``linear`` or ``mlpNx_gelu`` (N linear layers with GELU between), as LLaVA names them."""
    sizes = (config.vision_config.hidden_size, config.text_config.hidden_size)
    kind = config.projector_type
    depth = (
        1 if kind == "linear" else int(kind[3:-6]) if kind[3:-6].isdigit() and kind == f"mlp{kind[3:-6]}x_gelu" else 0
    )
    if not 1 <= depth <= 16:
        raise CheckpointError(f"projector_type={kind!r} is not known: use 'linear' or 'mlpNx_gelu', N from 1 to 16.")
    layers: list[nn.Module] = [nn.LayerNorm(sizes[0])] if config.projector_norm else []
    layers.append(nn.Linear(*sizes))
    for _ in range(depth - 1):
        layers += [nn.GELU(), nn.Linear(sizes[1], sizes[1])]
    return nn.Sequential(*layers)


class DuetForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """A causal LM that reads frames among its tokens and scores each one.

    A frame is `config.tokens_per_frame` image tokens in a row; both heads read the LM's last hidden
    state at the last of them. Vocabulary logits are computed at labelled positions only.
    """

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
                "does not do; use one that doesn't (Llama, Qwen2, SmolLM2 …)."
            )
        self.vision_tower = build_vision_tower(config.vision_config)
        self.projector = build_projector(config)
        self.pool = FramePool(side=config.grid_side, stride=config.pool_stride, mode=config.pool_mode)
        self.language_model = AutoModelForCausalLM.from_config(text, trust_remote_code=False)
        self.informative_head = nn.Linear(text.hidden_size, 2, bias=False)
        self.relevance_head = nn.Linear(text.hidden_size, 2, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        return self.language_model.get_output_embeddings()

    def train(self, mode: bool = True):
        """The vision tower is frozen, so it stays in evaluation mode: no part of it is dropped at random."""
        super().train(mode)
        self.vision_tower.eval()
        return self

    # frames -> embeddings

    @torch.no_grad()
    def vision_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """[N, 3, S, S] normalised pixels -> [N, cells, D]: the frozen part, the cells pooling reads.

        Never with a gradient: activation checkpointing makes transformers require one of the tower's inputs, and the
        graph of the whole tower would be kept. In the tower's own precision, also under autocast: the features are
        the same whether they are stored or computed again.
        """
        with torch.autocast(pixel_values.device.type, enabled=False):
            features = self.vision_tower(pixel_values.to(next(self.vision_tower.parameters()).dtype))
        return features[:, self.pool.placed(features.device, features.dtype)[0]]

    def frame_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """`vision_features`, ENCODE_AT_ONCE frames in each pass, the last one filled up: a frame's bits are its own.

        In other numbers at once features differ by 1e-5, and after two steps of training losses by 1e-2.
        """
        *whole, last = pixel_values.split(ENCODE_AT_ONCE)
        filled = F.pad(last, (0,) * 7 + (ENCODE_AT_ONCE - len(last),))
        return torch.cat([self.vision_features(part) for part in (*whole, filled)])[: len(pixel_values)]

    def project_features(self, features: torch.Tensor) -> torch.Tensor:
        """[N, cells, D] vision features -> [N, tokens_per_frame, H] input embeddings."""
        return self.pool(self.projector(features))

    def encode_frames(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """[N, 3, S, S] normalised pixels -> [N, tokens_per_frame, H] input embeddings."""
        return self.project_features(self.vision_features(pixel_values))

    def embed(self, input_ids: torch.Tensor, frame_embeds: torch.Tensor | None) -> torch.Tensor:
        """[B, L] ids and [N, T, H] frames -> [B, L, H] input embeddings, image tokens replaced in order.

        Raises DuetError when the ids hold another number of image tokens than the frames fill.
        """
        is_image = input_ids == self.config.image_token_id
        wanted = 0 if frame_embeds is None else frame_embeds.shape[0] * frame_embeds.shape[1]
        if int(is_image.sum()) != wanted:
            raise DuetError(
                f"input_ids hold {int(is_image.sum())} image tokens, the frames given fill {wanted}; "
                f"give {self.config.tokens_per_frame} tokens for each frame."
            )
        embeds = self.get_input_embeddings()(input_ids.masked_fill(is_image, 0))
        if frame_embeds is None:
            return embeds
        return embeds.masked_scatter(is_image.unsqueeze(-1), frame_embeds.to(embeds.dtype))

    # the language model

    def hidden_states(self, inputs_embeds: torch.Tensor, **kwargs) -> torch.Tensor:
        """[B, L, H] embeddings -> [B, L, H] hidden states after the final norm; no logits.

        kwargs: of the language model's body (attention_mask, past_key_values, position_ids …).
        """
        return self.language_model.base_model(inputs_embeds=inputs_embeds, **kwargs).last_hidden_state

    def vocabulary_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., H] -> [..., V]."""
        return self.get_output_embeddings()(hidden)

    def head_logits(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[n, H], hidden states at frames' last tokens -> informative and relevance logits, each [n, 2]."""
        return self.informative_head(hidden), self.relevance_head(hidden)

    def score_frames(self, hidden: torch.Tensor) -> torch.Tensor:
        """[n, H] -> float32 [n, 2]: informative and relevance probability of each frame."""
        logits = torch.stack(self.head_logits(hidden), 1)
        return logits.float().softmax(-1)[..., 1]

    def frame_positions(self, input_ids: torch.Tensor) -> torch.Tensor:
        """[B, L] ids -> bool [B, L]: true at the last token of each frame.

        Within a row the image tokens are counted in order; every tokens_per_frame-th ends a frame.
        """
        is_image = input_ids == self.config.image_token_id
        return is_image & (is_image.cumsum(1) % self.config.tokens_per_frame == 0)

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
        """One pass over whole conversations.

        input_ids, attention_mask: [B, L]. pixel_values: [N, 3, S, S], or vision_features: [N, cells, D]
        (stored earlier), the batch's frames in order. labels: [B, L], token ids or -100, unshifted as
        everywhere in transformers. informative_labels, relevance_labels: [B, L], 0 or 1 at the last token
        of a labelled frame, else -100. lm_normalizer, video_normalizer: [B], see below.

        lm_loss: next-token cross-entropy, mean over labelled tokens. video_loss: one cross-entropy, mean
        over the labelled frames of both heads together (MMDuet, arXiv 2411.17991, section 3).
        A batch may be only a part of what a mean is over. lm_normalizer and video_normalizer then state for each row
        the number that its sum is divided by. The losses are sums of these quotients, 0 where nothing is labelled.
        """
        frame_embeds = None
        if pixel_values is not None:
            vision_features = self.frame_features(pixel_values)
        if vision_features is not None:
            frame_embeds = self.project_features(vision_features.to(self.dtype))
        hidden = self.hidden_states(
            self.embed(input_ids, frame_embeds),
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            use_cache=past_key_values is not None,
        )
        ends = self.frame_positions(input_ids)
        informative, relevance = self.head_logits(hidden[ends])
        logits, lm_loss = self._lm_loss(hidden, labels, lm_normalizer)
        heads = [(informative, informative_labels), (relevance, relevance_labels)]
        video_loss = _video_loss(heads, ends, video_normalizer)
        losses = [loss for loss in (lm_loss, video_loss) if loss is not None]
        return DuetOutput(
            loss=sum(losses[1:], losses[0]) if losses else None,
            lm_loss=lm_loss,
            video_loss=video_loss,
            logits=logits,
            informative_logits=informative,
            relevance_logits=relevance,
            last_hidden_state=hidden,
            past_key_values=past_key_values,
        )

    def _lm_loss(self, hidden, labels, normalizer):
        if labels is None:
            return None, None
        targets = labels[:, 1:]
        labelled = targets != IGNORE
        logits = self.vocabulary_logits(hidden[:, :-1][labelled])
        return logits, _cross_entropy(logits, targets[labelled], labelled.nonzero()[:, 0], normalizer)


def _video_loss(heads, ends: torch.Tensor, normalizer: torch.Tensor | None) -> torch.Tensor | None:
    """heads: (logits [frames, 2], labels [B, L] or None) of each; ends: bool [B, L]; normalizer: [B] or None."""
    logits, targets, rows = [], [], []
    for head_logits, labels in heads:
        if labels is None:
            continue
        if bool((labels.ne(IGNORE) & ~ends).any()):
            raise DuetError("a frame label stands where no frame ends: labels belong on each frame's last token.")
        labelled = labels[ends] != IGNORE
        logits.append(head_logits[labelled])
        targets.append(labels[ends][labelled])
        rows.append(ends.nonzero()[:, 0][labelled])
    return _cross_entropy(torch.cat(logits), torch.cat(targets), torch.cat(rows), normalizer) if targets else None


def _cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor, normalizer: torch.Tensor | None
) -> torch.Tensor | None:
    """The mean over targets [n], None without any; with a normalizer [B], the sum of losses over their row's."""
    if normalizer is None:
        return F.cross_entropy(logits.float(), targets) if len(targets) else None
    return (F.cross_entropy(logits.float(), targets, reduction="none") / normalizer[rows]).sum()
