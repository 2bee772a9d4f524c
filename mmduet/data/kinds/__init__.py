"""Annotation kinds: one module each, and the dict of the built-in ones.

To add your own, see `AnnotationKind`, and pass it: ``MixtureDataset(path, kinds=KINDS | {kind.name: kind})`` or
``mmduet train CONFIG --kind module:OBJECT``.
"""

from collections.abc import Iterable

from mmduet.data.kinds.alert import ALERT
from mmduet.data.kinds.grounding import GROUNDING
from mmduet.data.kinds.kind import AnnotatedText, AnnotationKind, Entry, MakeConversation
from mmduet.data.kinds.magqa import MAGQA
from mmduet.data.kinds.narration import NARRATION
from mmduet.system.objects import find_object

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
    "known_kinds",
]


def known_kinds(own: Iterable[str] = (), *, argument: str = "kinds") -> dict[str, AnnotationKind]:
    """The built-in kinds and your own.

    Args:
        own: Your kinds, each as ``module:OBJECT``.
        argument: The argument or option that gave them, for messages.

    Raises:
        DuetError: A kind cannot be imported.
    """
    found = [find_object(name, {}, AnnotationKind, argument=argument) for name in own]
    return KINDS | {kind.name: kind for kind in found}
