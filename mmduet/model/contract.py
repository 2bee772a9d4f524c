"""Contract: what the methods of a backbone must return, checked where it is returned."""

from collections.abc import Sequence
from typing import Any, get_args

import torch

from mmduet.errors import DuetError
from mmduet.model.backbone import Backbone, Decides, EmbeddedTokens


def checked_backbone(model: Backbone) -> Backbone:
    """Return the model. Raises DuetError where it does not say how it decides."""
    decides = getattr(model, "decides", None)
    if decides not in get_args(Decides):
        raise DuetError(
            f"model {type(model).__qualname__}: decides={decides!r}: use one of {', '.join(get_args(Decides))}."
        )
    return model


def embedded_frames(model: Backbone, pixel_values: torch.Tensor) -> list[EmbeddedTokens]:
    """Embed the processor's pixel values of N frames.

    Raises:
        DuetError: `encode_frames` does not give one [T, H] a frame, or `frame_position_ids` no int64 [P, T] for each.
    """
    embeds, axes, width = model.encode_frames(pixel_values), model.position_axes, model.config.text_config.hidden_size
    _check_each(model, "encode_frames", embeds, len(pixel_values), f"[T, H] with T ≥ 1 and H = {width}")
    for each in embeds:
        if each.ndim != 2 or not len(each) or each.shape[1] != width:
            _refuse(model, "encode_frames", each, f"[T, H] a frame, T ≥ 1, and H = {width} as the language model")
    positions = model.frame_position_ids(pixel_values)
    if not axes:
        if positions is not None:
            _refuse(model, "frame_position_ids", positions, "None where position_axes is 0, or set position_axes to P")
        return list(map(EmbeddedTokens, embeds))
    _check_each(model, "frame_position_ids", positions, len(pixel_values), f"int64 [P, T], as position_axes = {axes}")
    for ids, each in zip(positions or (), embeds, strict=True):
        if ids.shape != (axes, len(each)):
            _refuse(model, "frame_position_ids", ids, f"int64 [{axes}, {len(each)}], as the frame and position_axes")
    return list(map(EmbeddedTokens, embeds, positions or ()))


def checked_hidden(model: Backbone, hidden: torch.Tensor, tokens: int) -> torch.Tensor:
    """Return hidden states, [1, L, H]. Raises DuetError for another result of `hidden_states`."""
    if not isinstance(hidden, torch.Tensor) or hidden.ndim != 3 or hidden.shape[:2] != (1, tokens):
        _refuse(model, "hidden_states", hidden, f"a tensor [B, L, H], here [1, {tokens}, H], after the final norm")
    return hidden


def frame_scores(model: Backbone, hidden: torch.Tensor) -> list[tuple[float, float]]:
    """Score n frames from the hidden states [n, H] at their last tokens: informative and relevance of each.

    Raises:
        DuetError: `score_frames` does not give probabilities, [n, 2].
    """
    scores = model.score_frames(hidden)
    if not isinstance(scores, torch.Tensor) or scores.shape != (len(hidden), 2):
        _refuse(model, "score_frames", scores, f"a tensor [n, 2], here [{len(hidden)}, 2]: informative and relevance")
    pairs = [(informative, relevance) for informative, relevance in scores.tolist()]
    for score in (score for pair in pairs for score in pair):
        if not 0 <= score <= 1:
            _refuse(model, "score_frames", score, "probabilities in [0, 1]; if nan, check dtype and weights")
    return pairs


def _check_each(model: Backbone, method: str, found: Any, frames: int, wanted: str) -> None:
    """Check that there is one tensor for each frame."""
    if not isinstance(found, Sequence | torch.Tensor) or not all(isinstance(each, torch.Tensor) for each in found):
        _refuse(model, method, found, f"one tensor a frame, {wanted}")
    if len(found) != frames:
        _refuse(model, method, f"{len(found)} tensors for {frames} frames", f"one a frame, {wanted}")


def _refuse(model: Backbone, method: str, found: Any, wanted: str) -> None:
    gave = f"{list(found.shape)}" if isinstance(found, torch.Tensor) else f"a {type(found).__qualname__}"
    gave = f"{found}" if isinstance(found, str | float) or found is None else gave
    raise DuetError(f"{type(model).__qualname__}.{method} gave {gave}: give {wanted}.")
