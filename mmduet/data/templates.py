"""Wordings of instructions and queries; one is drawn for each conversation, and a file may add others."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict

from mmduet.data.conversations import GROUNDING_TEMPLATES, NARRATION_INSTRUCTIONS
from mmduet.errors import AnnotationError
from mmduet.files import validated


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
    narration: list[Annotated[str, AfterValidator(_with_words)]] = []
    grounding: list[Annotated[str, AfterValidator(_with_query)]] = []


def read_templates(path: str | Path) -> Templates:
    """Our own wordings and those of a YAML or JSON file, `{narration: [...], grounding: [...]}`, after them.

    Raises AnnotationError naming the file and the entry.
    """
    try:
        written = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AnnotationError(f"{path} does not exist: check the path of the templates.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path} is no readable YAML: {' '.join(str(error).split())}.") from error
    more = validated(path, _TemplateFile, written or {})
    return Templates(NARRATION_INSTRUCTIONS + tuple(more.narration), GROUNDING_TEMPLATES + tuple(more.grounding))
