"""Training: projector alignment, then LoRA, projector and heads through transformers' Trainer.

The losses live in `mmduet.model.duet`; the conversations in `mmduet.data`.
"""

from mmduet.training.alignment import AlignmentPairs, align_projector, alignment_pairs
from mmduet.training.recipe import Lora, Recipe
from mmduet.training.run import LORA_TARGETS, TRAINED_IN_FULL, TrainingResult, add_lora, train
from mmduet.training.teacher_forcing import ForcedExample, TeacherForced, auc, teacher_force

__all__ = [
    "LORA_TARGETS",
    "TRAINED_IN_FULL",
    "AlignmentPairs",
    "ForcedExample",
    "Lora",
    "Recipe",
    "TeacherForced",
    "TrainingResult",
    "add_lora",
    "align_projector",
    "alignment_pairs",
    "auc",
    "teacher_force",
    "train",
]
