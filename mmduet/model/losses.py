"""Losses of labelled tokens and labelled frames."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from mmduet.errors import DuetError

IGNORE = -100  # the label of a position that no loss counts


def token_loss(
    logits: torch.Tensor, targets: torch.Tensor, labelled: torch.Tensor, normalizer: torch.Tensor | None
) -> torch.Tensor | None:
    """Next-token cross-entropy.

    Args:
        logits: [n, V], at the labelled positions.
        targets: [n].
        labelled: bool [B, L]: the labelled positions.
        normalizer: [B], the number that each row's sum is divided by; the loss is then the sum of the quotients. None:
            the loss is the mean over all targets.
    """
    return _cross_entropy(logits, targets, labelled.nonzero()[:, 0], normalizer)


def lm_loss(
    to_logits: Callable[[torch.Tensor], torch.Tensor],
    hidden: torch.Tensor,
    labels: torch.Tensor | None,
    normalizer: torch.Tensor | None,
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Logits [n, V] at the labelled positions only, and their `token_loss`; None where no labels are given.

    Args:
        to_logits: Makes vocabulary logits of hidden states.
        hidden: Hidden states, [B, L, H].
        labels: [B, L], token ids or -100, unshifted.
        normalizer: As for `token_loss`.
    """
    if labels is None:
        return None, None
    targets = labels[:, 1:]
    labelled = targets != IGNORE
    logits = to_logits(hidden[:, :-1][labelled])
    return logits, token_loss(logits, targets[labelled], labelled, normalizer)


def video_loss(
    heads: Sequence[tuple[torch.Tensor, torch.Tensor | None]], ends: torch.Tensor, normalizer: torch.Tensor | None
) -> torch.Tensor | None:
    """One cross-entropy over the labelled frames of all heads together (MMDuet, arXiv 2411.17991, section 3).

    Args:
        heads: Each head's logits, [frames, 2], and labels, [B, L] or None.
        ends: bool [B, L], true at each frame's last token.
        normalizer: As for `token_loss`.

    Raises:
        DuetError: A label is not at a frame's last token.
    """
    logits, targets, rows = [], [], []
    for head_logits, labels in heads:
        if labels is None:
            continue
        if bool((labels.ne(IGNORE) & ~ends).any()):
            raise DuetError("a frame label is where no frame ends: put labels at each frame's last token.")
        labelled = labels[ends] != IGNORE
        logits.append(head_logits[labelled])
        targets.append(labels[ends][labelled])
        rows.append(ends.nonzero()[:, 0][labelled])
    return _cross_entropy(torch.cat(logits), torch.cat(targets), torch.cat(rows), normalizer) if targets else None


def _cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor, normalizer: torch.Tensor | None
) -> torch.Tensor | None:
    """The mean over targets [n], None without any; with a normalizer [B], the sum of each loss over its row's."""
    if normalizer is None:
        return F.cross_entropy(logits.float(), targets) if len(targets) else None
    return (F.cross_entropy(logits.float(), targets, reduction="none") / normalizer[rows]).sum()
