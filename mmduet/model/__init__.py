"""The duet model: vision tower, projector, language model and two heads; and the prompt that it reads.

Saved adapters name this package as the home of their base model's class.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmduet.model.duet import DuetConfig, DuetForConditionalGeneration
    from mmduet.model.processing import DuetProcessor

_MODULES = {"DuetConfig": "duet", "DuetForConditionalGeneration": "duet", "DuetProcessor": "processing"}

__all__ = ["DuetConfig", "DuetForConditionalGeneration", "DuetProcessor"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
