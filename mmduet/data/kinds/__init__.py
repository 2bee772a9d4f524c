"""Annotation kinds: one module each, and the dict of the built-in ones.

To add your own, see `AnnotationKind`, and pass it: ``MixtureDataset(path, kinds=KINDS | {kind.name: kind})`` or
``mmduet train CONFIG --kind module:OBJECT``.
"""

from mmduet.data.kinds.alert import ALERT
from mmduet.data.kinds.grounding import GROUNDING
from mmduet.data.kinds.kind import AnnotatedText, AnnotationKind, Entry, MakeConversation
from mmduet.data.kinds.magqa import MAGQA
from mmduet.data.kinds.narration import NARRATION

KINDS: dict[str, AnnotationKind] = {kind.name: kind for kind in (NARRATION, MAGQA, GROUNDING, ALERT)}

__all__ = [
    "ALERT",
    "GROUNDING",
    "KINDS",
    "MAGQA",
    "NARRATION",
    "AnnotatedText",
    "AnnotationKind",
    "Entry",
    "MakeConversation",
]
