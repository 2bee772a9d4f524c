"""Prompt templates: each kind has its own, and a file may add to them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmduet.data.kinds import KINDS, AnnotationKind
from mmduet.errors import AnnotationError
from mmduet.files import place_of, read_yaml, validated

Templates = Mapping[str, tuple[str, ...]]  # kind's name -> prompt templates


def read_templates(path: str | Path, kinds: Mapping[str, AnnotationKind] = KINDS) -> Templates:
    """The built-in prompt templates of each kind, followed by those of a YAML or JSON file.

    Args:
        path: A file ``{narration: [...], grounding: [...]}``. A template of grounding holds ``{query}`` once.
        kinds: The known kinds.

    Raises:
        AnnotationError: The file cannot be read, names a kind that is not known or has no templates, or holds a
            template that does not suit its kind. The message names the file and the entry.
    """
    written = read_yaml(path)
    listed = validated(path, dict[str, object], {} if written is None else written)
    with_templates = {kind.name: kind for kind in kinds.values() if kind.templates}
    for name in listed:
        if name not in with_templates:
            known = ", ".join(sorted(with_templates))
            raise AnnotationError(f"{path}: entry {place_of([name])}: no kind with templates; use one of {known}.")
    added = {}
    for name, texts in listed.items():
        template: Any = with_templates[name].template
        added[name] = validated(path, list[template], texts, place=f"entry {name} /")
    return {name: (*kind.templates, *added.get(name, ())) for name, kind in with_templates.items()}
