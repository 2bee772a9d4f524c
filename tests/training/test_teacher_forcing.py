import math

import numpy as np
import pytest
import torch

from mmduet.data.collator import Collator, model_inputs
from mmduet.training import ForcedSample, TeacherForced, auc, teacher_force


def test_auc_by_hand():
    assert auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])) == pytest.approx(0.75)
    assert math.isnan(auc(np.array([1, 1]), np.array([0.1, 0.2])))


def test_the_threshold_of_the_best_f1():
    """Above 0.3 are both positives and one negative: F1 0.8; above 0.6 one positive: 0.67."""
    scores = np.array([0.2, 0.4, 0.3, 0.6])
    sample = ForcedSample("narration", {}, np.array([]), {"informative": (np.array([0, 0, 1, 1]), scores)})
    assert TeacherForced([sample]).best_threshold("informative") == pytest.approx(0.3)


def test_figures_are_those_of_the_model_over_all_and_by_kind(setting):
    model, processor, train_set, _, features = setting
    collator = Collator(processor, features)
    batches = [collator([train_set[index]]) for index in range(len(train_set))]
    measured = teacher_force(model, batches)
    quality = measured.quality()
    assert measured.kinds == ["grounding", "magqa", "narration"]
    grounding = [batch for batch in batches if batch["samples"][0].kind == "grounding"]
    alone = [model(**model_inputs(batch)).video_loss.item() for batch in grounding]
    assert quality["grounding_video_loss"] == pytest.approx(np.mean(alone), rel=1e-5)
    assert "grounding_lm_loss" not in quality, "there are no words in it"
    assert "grounding_informative_auc" not in quality
    assert quality["loss"] == pytest.approx(quality["lm_loss"] + quality["video_loss"])
    assert quality["relevance_auc"] == quality["grounding_relevance_auc"], "no other kind has these labels"


def test_a_batch_is_the_sum_of_its_examples(setting):
    """Padding and concatenated features leave every example's scores as they are alone."""
    model, processor, train_set, _, features = setting
    collator = Collator(processor, features)
    examples = [train_set[index] for index in (0, 4, 7)]
    together = model(**model_inputs(collator(examples))).informative_logits
    alone = torch.cat([model(**model_inputs(collator([example]))).informative_logits for example in examples])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
