"""`mmduet timing`: whether models respond at the right moments, on several benchmarks in one table."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mmduet.cli.benchmarks import OUTPUT
from mmduet.cli.root import app, check_figures, say, write_figures
from mmduet.errors import DuetError

FILES = Annotated[
    list[str],
    typer.Argument(
        metavar="BENCHMARK PREDICTIONS REFERENCES...",
        help="For each system: a benchmark or module:OBJECT, its prediction file and its test file.",
        show_default=False,
    ),
]


@app.command()
def timing(files: FILES, output: OUTPUT = None) -> None:
    """Compare when models respond with when something is due, for several prediction files in one table.

    The figures are the same for every benchmark whose references have spans, and no judge is asked.
    """
    from mmduet.evaluation.benchmarks import find_benchmark
    from mmduet.evaluation.coverage import read_matched
    from mmduet.evaluation.response_timing import UNITS, estimate_timing, timing_scores, timing_table

    if len(files) % 3:
        raise DuetError(f"{len(files)} arguments: give BENCHMARK PREDICTIONS REFERENCES for each system.")
    given = list(zip(*(files[place::3] for place in range(3)), strict=True))
    check_figures(output, *(Path(path) for _, *paths in given for path in paths))
    names = Counter(name for name, *_ in given)
    evaluated = {}
    for name, predictions, references in given:
        row = name if names[name] == 1 else f"{name}, {predictions}"
        if row in evaluated:
            raise DuetError(f"{row} comes twice: give each prediction file once.")
        benchmark = find_benchmark(name)
        evaluated[row] = read_matched(benchmark, predictions, references, partial(_say, row))
    say(timing_table(evaluated).T.to_string())
    if output is not None:
        figures = [
            (f"{row}: {name}", (estimate, UNITS[name]))
            for row, both in evaluated.items()
            for name, estimate in estimate_timing(timing_scores(*both)).items()
        ]
        write_figures(output, dict(figures))


def _say(row: str, text: str) -> None:
    say(f"{row}: {text}")
