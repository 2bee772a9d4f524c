"""The references and the questions of a benchmark's test file."""

from pathlib import Path
from typing import Any

from mmduet.evaluation.benchmark import Benchmark, Question
from mmduet.evaluation.benchmarks import find_benchmark
from mmduet.evaluation.items import (
    Answer,
    AnsweredItem,
    AskedItem,
    GroundedItem,
    HighlightItem,
    HighlightQuery,
    Item,
    Turn,
)

__all__ = [
    "Answer", "AnsweredItem", "AskedItem", "GroundedItem", "HighlightItem", "HighlightQuery", "Item", "Turn",
    "read_questions", "read_references",
]  # fmt: skip


def read_references(path: str | Path, benchmark: str | Benchmark) -> dict[str, Any]:
    """Read the references of a test file.

    Args:
        path: A JSON or JSON Lines file.
        benchmark: A benchmark, its name, or ``module:OBJECT``.

    Returns:
        Question id -> item of the benchmark's schema.

    Raises:
        AnnotationError: The file is not of the benchmark's schema. The message names the file, the entry, the field
            and the mistake.
        DuetError: The benchmark is not known.
    """
    return find_benchmark(benchmark).read_references(path)


def read_questions(path: str | Path, benchmark: str | Benchmark) -> list[Question]:
    """Read the questions of a test file, whether or not it has labels.

    Raises:
        AnnotationError: As `read_references`; also for an item that asks nothing.
        DuetError: The benchmark is not known.
    """
    return find_benchmark(benchmark).read_questions(path)
