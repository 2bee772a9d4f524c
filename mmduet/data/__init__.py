"""Training data: annotations and videos -> conversations with a label for every frame.

The names for notebooks and scripts; each is imported when it is first used, so that `make_scenes` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmduet.data.collator import Collator
    from mmduet.data.feature_cache import FeatureCache
    from mmduet.data.kinds import KINDS, AnnotationKind
    from mmduet.data.mixture import MixtureDataset
    from mmduet.data.scenes import make_scenes
    from mmduet.data.statistics import mixture_frame, response_gaps
    from mmduet.data.templates import read_templates
    from mmduet.data.unreadable import UnreadableVideos

_MODULES = {
    "KINDS": "kinds",
    "AnnotationKind": "kinds",
    "Collator": "collator",
    "FeatureCache": "feature_cache",
    "MixtureDataset": "mixture",
    "UnreadableVideos": "unreadable",
    "make_scenes": "scenes",
    "mixture_frame": "statistics",
    "read_templates": "templates",
    "response_gaps": "statistics",
}

__all__ = [
    "KINDS",
    "AnnotationKind",
    "Collator",
    "FeatureCache",
    "MixtureDataset",
    "UnreadableVideos",
    "make_scenes",
    "mixture_frame",
    "read_templates",
    "response_gaps",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
