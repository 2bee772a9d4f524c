"""The references and the questions of a benchmark's test file."""

from pathlib import Path
from typing import Any

from mmduet.evaluation.benchmark import Benchmark, Question
from mmduet.evaluation.benchmarks import find_benchmark
from mmduet.evaluation.frame_input import is_frame_input, read_frame_input
from mmduet.evaluation.items import (
    Answer,
    AnsweredItem,
    AskedItem,
    GroundedItem,
    HighlightItem,
    HighlightQuery,
    Item,
    Turn,
    read_items,
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
    return read_items(path, find_benchmark(benchmark).item)


def read_questions(path: str | Path, benchmark: str | Benchmark) -> list[Question]:
    """Read the questions of a test file, whether or not it has labels, or of a frame-input file.

    Raises:
        AnnotationError: As `read_references`; also for an item that asks nothing.
        DuetError: The benchmark is not known.
    """
    benchmark = find_benchmark(benchmark)
    if is_frame_input(path):
        return read_frame_input(path)
    return [benchmark.question(item) for item in read_items(path, benchmark.asked or benchmark.item).values()]
