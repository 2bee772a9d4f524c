"""Checkpoints: names and folders in, a model and its processor out; every file is checked before it is used."""

from mmduet.system.imports import without_collection

with without_collection():
    from mmduet.checkpoints.concepts import add_concept, save_concepts
    from mmduet.checkpoints.loading import load_adapter, load_duet, load_processor
    from mmduet.checkpoints.presets import PRESETS, Preset, cache_folder
    from mmduet.checkpoints.saving import save_adapter, save_checkpoint
    from mmduet.checkpoints.tiny import build_tiny, build_tiny_words

__all__ = [
    "PRESETS",
    "Preset",
    "add_concept",
    "build_tiny",
    "build_tiny_words",
    "cache_folder",
    "load_adapter",
    "load_duet",
    "load_processor",
    "save_adapter",
    "save_checkpoint",
    "save_concepts",
]
