"""lmms-eval's sample logs: one JSON object a line, one line a document, as ``--log_samples`` writes them.

A line has ``doc_id``, ``target``, ``filtered_resps``, ``doc_hash``, ``input`` and a key for each metric. The document
itself is not in the log, but the metric's value often repeats what scoring needs.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictInt, StrictStr

from mmduet.errors import AnnotationError
from mmduet.files import read_jsonl, validated, write_file

FIELDS = {"doc_id", "filtered_resps"}  # of every line, and of no prediction file


def _one(value: Any) -> Any:
    """The response of a list of one, as another filter writes it."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value


class Sample(BaseModel):
    """A line of a sample log. The metrics' values are in `metrics`."""

    model_config = ConfigDict(extra="allow")

    doc_id: StrictInt
    filtered_resps: Annotated[StrictStr | list[StrictStr | None] | None, BeforeValidator(_one)]
    target: StrictStr | None = None

    @property
    def metrics(self) -> dict[str, Any]:
        """Metric -> its value for this document, which is a dict in the tasks read here."""
        return {name: value for name, value in (self.model_extra or {}).items() if isinstance(value, dict)}


def is_log(path: Path) -> bool:
    """Whether a file is a sample log, by its first line."""
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    _, first = next(read_jsonl(path), (0, None))
    return isinstance(first, dict) and first.keys() >= FIELDS


def read_log(path: str | Path) -> list[Sample]:
    """Read a sample log, in the order of its lines.

    A document that comes again with the same response counts once.

    Raises:
        AnnotationError: A line is not of this form, or a document has two responses. lmms-eval appends, so a file may
            hold two runs.
    """
    samples: dict[int, Sample] = {}
    for number, line in read_jsonl(path):
        sample: Sample = validated(f"{path}, line {number}", Sample, line, place="field")
        if samples.setdefault(sample.doc_id, sample).filtered_resps != sample.filtered_resps:
            raise AnnotationError(
                f"{path}, line {number}: doc_id {sample.doc_id} has another line before, with another response: keep "
                "the lines of one run."
            )
    return list(samples.values())


def sample_line(
    doc_id: int, doc: Mapping[str, Any], *, target: str, response: Any, metrics: Mapping[str, Any], query: str
) -> dict[str, Any]:
    """A line of a sample log, as lmms-eval 0.7 writes it.

    Args:
        doc_id: The document's position in its data set.
        doc: The document, of which the line holds the SHA-256 digest.
        target: The reference, as text.
        response: The response.
        metrics: Metric -> its value.
        query: The text that the model was asked.
    """
    text = json.dumps(doc, indent=2, ensure_ascii=False)
    return {
        "doc_id": doc_id,
        "target": target,
        "filtered_resps": response,
        "token_counts": [None],
        "doc_hash": hashlib.sha256(text.encode()).hexdigest(),
        **metrics,
        "input": query,
    }


def write_log(path: str | Path, lines: Iterable[Mapping[str, Any]]) -> int:
    """Write a sample log, completely or not at all, and count its lines.

    Raises:
        FileError: The file cannot be written.
    """
    texts = [f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines]
    write_file(path, "".join(texts))
    return len(texts)
