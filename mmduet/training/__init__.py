"""Training: projector alignment, then LoRA, projector and heads with transformers' Trainer.

The losses are in `mmduet.model.duet`; the conversations are in `mmduet.data`.
"""

from mmduet.training.alignment import AlignmentPairs, align_projector, alignment_pairs
from mmduet.training.checkpointing import read_log
from mmduet.training.lora import add_lora
from mmduet.training.recipe import Lora, Recipe
from mmduet.training.result import TrainingResult
from mmduet.training.run import train
from mmduet.training.teacher_forcing import ForcedSample, TeacherForced, auc, teacher_force

__all__ = [
    "AlignmentPairs",
    "ForcedSample",
    "Lora",
    "Recipe",
    "TeacherForced",
    "TrainingResult",
    "add_lora",
    "align_projector",
    "alignment_pairs",
    "auc",
    "read_log",
    "teacher_force",
    "train",
]
