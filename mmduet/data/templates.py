"""Wordings of instructions and queries; one is drawn for each conversation, and a file may add others."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from mmduet.data.annotations import Text
from mmduet.data.conversations import GROUNDING_TEMPLATES, NARRATION_INSTRUCTIONS
from mmduet.files import read_yaml, validated


@dataclass(frozen=True, slots=True)
class Templates:
    """narration: instructions. grounding: texts in which {query} stands for the query."""

    narration: tuple[str, ...] = NARRATION_INSTRUCTIONS
    grounding: tuple[str, ...] = GROUNDING_TEMPLATES


def _with_words(text: str) -> str:
    if not text.strip():
        raise ValueError("a template needs words")
    return text


def _with_query(text: str) -> str:
    if text.count("{query}") != 1:
        raise ValueError("a grounding template needs {query} once, where the query is to stand")
    return text


class _TemplateFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    narration: list[Annotated[Text, AfterValidator(_with_words)]] = []
    grounding: list[Annotated[Text, AfterValidator(_with_query)]] = []


def read_templates(path: str | Path) -> Templates:
    """Our own wordings and those of a YAML or JSON file, `{narration: [...], grounding: [...]}`, after them.

    Raises AnnotationError naming the file and the entry.
    """
    written = read_yaml(path)
    more = validated(path, _TemplateFile, {} if written is None else written)
    return Templates(NARRATION_INSTRUCTIONS + tuple(more.narration), GROUNDING_TEMPLATES + tuple(more.grounding))
