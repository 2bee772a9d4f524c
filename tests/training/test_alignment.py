import numpy as np
import pytest

from mmduet.errors import AnnotationError
from mmduet.training import align_projector, alignment_pairs


def test_alignment_brings_frames_to_their_words(setting):
    model, processor, train_set, _, features = setting
    pairs = alignment_pairs(train_set, features.read)
    losses = align_projector(model, processor, pairs, iterations=60)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    tokens = model.project_features(pairs.features[:50].float())
    assert tokens.std().item() == pytest.approx(model.get_input_embeddings().weight.std().item(), rel=0.3)


def test_alignment_needs_two_captions(setting):
    *_, train_set, _, features = setting
    train_set.samples = [sample for sample in train_set.samples if sample.kind == "magqa"]
    with pytest.raises(AnnotationError, match="at least 2"):
        alignment_pairs(train_set, features.read)
