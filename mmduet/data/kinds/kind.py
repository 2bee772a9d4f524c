"""AnnotationKind: how one format of annotation files becomes training conversations."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, TypeAdapter, ValidationError

from mmduet.data.annotations import Text
from mmduet.data.conversations import Clock, Conversation
from mmduet.errors import AnnotationError
from mmduet.files import place_of, read_json, shown


def _with_words(text: str) -> str:
    if not text.strip():
        raise ValueError("a template needs words")
    return text


Template = Annotated[Text, AfterValidator(_with_words)]


@dataclass(frozen=True, slots=True)
class Entry:
    """One annotation of one video, as an annotation file holds it.

    Attributes:
        video: The video's path in the mixture's video_root.
        name: Where the entry is in its file, for messages.
        annotation: What the kind's `conversation` and `texts` take.
        starts: When each annotated thing begins, in seconds, by its name for messages. A start after the video's end
            is an error; what only ends after it is clipped.
        ends: Likewise, when each ends. An end more than 10 s after the video's end is an error.
    """

    video: str
    name: str
    annotation: Any
    starts: Mapping[str, float] = field(default_factory=dict)
    ends: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnnotatedText:
    """A text of an annotation.

    Attributes:
        text: The text.
        spans: (start, end) in seconds of the parts of the video that show what the text describes. Empty if the text
            describes nothing that is in view.
    """

    text: str
    spans: tuple[tuple[float, float], ...] = ()


class MakeConversation(Protocol):
    """Makes a training conversation of an annotation, with at most `max_frames` frames.

    Whatever is random is drawn from `rng`. `templates` are the prompt templates of the kind.
    """

    def __call__(
        self, annotation: Any, clock: Clock, *, rng: Random, templates: Sequence[str], max_frames: int
    ) -> Conversation:
        """Make a conversation; `annotation` is that of an `Entry`."""


@dataclass(frozen=True)
class AnnotationKind:
    """How one format of annotation files becomes training conversations.

    Its functions stand in a module, not in a script's `__main__`, because data loader workers import them.

    Attributes:
        name: The kind's name in tables, metrics and template files.
        dataset_cls: The name of the kind in a mixture file.
        schema: A type that pydantic validates: the content of a file.
        entries: Lists the annotations in a validated content.
        conversation: Makes a training conversation of an annotation.
        texts: Lists the texts of an annotation, for the browser's search and for the projector's alignment.
        templates: Prompt templates to draw from. A templates file may add to them; it cannot if there are none.
        template: A type that pydantic validates: one prompt template.
    """

    name: str
    dataset_cls: str
    schema: Any
    entries: Callable[[Any], Iterable[Entry]]
    conversation: MakeConversation
    texts: Callable[[Any], Sequence[AnnotatedText]]
    templates: tuple[str, ...] = ()
    template: Any = Template

    def read(self, path: str | Path) -> Any:
        """Read and validate an annotation file.

        Raises:
            AnnotationError: The file cannot be read, or an entry is wrong. The message names the file, the entry, the
                field and the value.
        """
        content = read_json(path)
        try:
            return TypeAdapter(self.schema).validate_python(content)
        except ValidationError as error:
            raise AnnotationError(_explain(path, self.name, error)) from error


def _explain(path: str | Path, kind: str, error: ValidationError) -> str:
    first = error.errors()[0]
    *entry, name = first["loc"] or ["the file"]
    more = f" ({error.error_count() - 1} more like it)" if error.error_count() > 1 else ""
    return (
        f"{path}: {kind} entry {place_of(entry or [name])}, field {shown(str(name))}: {first['msg']}; "
        f"found {shown(first['input'])}{more}."
    )
