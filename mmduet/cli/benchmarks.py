"""`mmduet evaluate NAME` and `mmduet export NAME`: a command for each benchmark, also for a user's own."""

import inspect
import math
import operator
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import typer

from mmduet.cli.root import PLAIN, Group, app, check_figures, resumable, say, show, write_figures
from mmduet.errors import DuetError

if TYPE_CHECKING:
    from mmduet.evaluation.benchmark import Benchmark
    from mmduet.evaluation.metrics.bootstrap import Estimate
    from mmduet.evaluation.option import Option

PREDICTIONS = Annotated[Path, typer.Option(help="Prediction file (JSONL).")]
REFERENCES = Annotated[Path, typer.Option(help="The benchmark's test file.")]
OUTPUT = Annotated[Path | None, typer.Option(help="Also write the figures to this file (JSON).")]


class Terminal:
    """The console of a benchmark's own command."""

    def say(self, text: str) -> None:
        """Print a line."""
        say(text)

    def show(self, estimates: Mapping[str, Any], units: Mapping[str, str]) -> None:
        """Print figures with their intervals and units."""
        show(estimates, units)

    def confirm(self, question: str) -> None:
        """Ask the user; the command ends if the answer is no."""
        typer.confirm(question, abort=True)

    def resumable(self, kept: Callable[[], str]) -> Any:
        """A block that Ctrl-C and SIGTERM end with one sentence."""
        return resumable(kept)


class _Benchmarks(Group):
    """Commands that are made from benchmarks when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        from mmduet.evaluation.benchmarks import BENCHMARKS

        return [*super().list_commands(ctx), *(name for name, found in BENCHMARKS.items() if self.has_command(found))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from mmduet.evaluation.benchmarks import find_benchmark

        if command := super().get_command(ctx, cmd_name):
            return command
        benchmark = find_benchmark(cmd_name)
        if not self.has_command(benchmark):
            raise DuetError(f"{benchmark.title} has no form of its own to export: use the prediction file.")
        return self.make(benchmark)

    def has_command(self, benchmark: "Benchmark") -> bool:
        return True

    def make(self, benchmark: "Benchmark") -> Any:
        raise NotImplementedError


class _Evaluate(_Benchmarks):
    def make(self, benchmark: "Benchmark") -> Any:
        def run(predictions: Path, references: Path, output: Path | None, **options: Any) -> None:
            paths = [value for value in options.values() if isinstance(value, Path)]
            check_figures(output, predictions, references, *paths)
            _evaluate(benchmark, predictions, references, output, options)

        fixed = {"predictions": PREDICTIONS, "references": REFERENCES}
        return _command(run, benchmark, benchmark.summary, fixed, benchmark.options, {"output": OUTPUT})


class _Export(_Benchmarks):
    def has_command(self, benchmark: "Benchmark") -> bool:
        return benchmark.export is not None

    def make(self, benchmark: "Benchmark") -> Any:
        from mmduet.evaluation.option import options_of

        export = benchmark.export
        assert export is not None

        def run(predictions: Path, output: Path, references: Path | None, **options: Any) -> None:
            export(predictions, output, references, Terminal(), **options)

        fixed = {
            "predictions": Annotated[Path, typer.Argument(help="Prediction file (JSONL).")],
            "output": Annotated[Path, typer.Option(help="File to write.")],
        }
        more = {"references": Annotated[Path | None, typer.Option(help="The benchmark's file, of any split.")]}
        return _command(run, benchmark, inspect.getdoc(export) or "", fixed, options_of(export), more)


app.add_typer(
    typer.Typer(
        help="Write predictions in the form of a benchmark's own server, or of lmms-eval.",
        no_args_is_help=True,
        **PLAIN,
    ),
    name="export",
    cls=_Export,
)
evaluate_app = typer.Typer(
    help="Measure predictions on a benchmark: one of those below, or your own as module:OBJECT.",
    no_args_is_help=True,
    **PLAIN,
)
app.add_typer(evaluate_app, name="evaluate", cls=_Evaluate)


def _evaluate(
    benchmark: "Benchmark", predictions: Path, references: Path, output: Path | None, options: dict[str, Any]
) -> None:
    from mmduet.evaluation.coverage import read_matched
    from mmduet.evaluation.metrics.bootstrap import Estimate

    console = Terminal()
    if benchmark.command is not None:
        scores = benchmark.command(predictions, references, console, **options)
        scores = None if scores is None else benchmark.check(scores, "command")
    else:
        found, items = read_matched(benchmark, predictions, references, console.say)
        given = ", ".join(f"{name} {value}" for name, value in options.items() if value is not None)
        console.say(f"{given or benchmark.title}:")
        scores = benchmark.scores_of(found, items, **options)
    if scores is not None:
        figures, units = benchmark.estimate(scores), benchmark.units
        show(figures, units)
        written = {name: (figure, units[name]) for name, figure in figures.items()}
        unrated = float(scores[benchmark.errors].sum()) if benchmark.errors else 0.0
        if benchmark.errors:
            written[benchmark.errors] = Estimate(unrated, math.nan, math.nan), "pairs"
        written |= _timing(benchmark, predictions, references, console)
        if output is not None:
            write_figures(output, written)
        _check_rated(unrated)


def _check_rated(unrated: float) -> None:
    """End with status 1 if there are pairs that a judge did not rate."""
    if unrated:
        text = (
            f"mmduet: {unrated:.0f} pairs have no rating and are in no figure, so answers without a reply count too "
            "much: have these pairs rated, and run the command again."
        )
        typer.secho(text, fg="red", err=True)
        raise typer.Exit(1)


def _timing(
    benchmark: "Benchmark", predictions: Path, references: Path, console: Terminal
) -> dict[str, tuple["Estimate", str]]:
    """Print when the model responds, if the references say when something is due.

    Returns:
        Name in the output file -> figure and unit.
    """
    from mmduet.evaluation import response_timing as timing
    from mmduet.evaluation.coverage import coverage, questions_of

    try:
        items = benchmark.read_references(references)
        if not timing.has_spans(items):
            return {}
        found = benchmark.read_predictions(predictions, items)
        coverage(found, items, questions_of(benchmark, references, found))
    except DuetError as error:  # a benchmark's own command may read files of other forms
        console.say(f"no timing: {error}")
        return {}
    scores = timing.timing_scores(found.by_id, items)
    if not (known := scores["responses"].count()):
        console.say("no timing: the model did not choose the times of its responses.")
        return {}
    console.say(f"timing of responses, {known} questions:")
    estimates = timing.estimate_timing(scores)
    show(estimates, timing.UNITS)
    return {f"timing: {name}": (estimate, timing.UNITS[name]) for name, estimate in estimates.items()}


def _command(
    run: Callable[..., None],
    benchmark: "Benchmark",
    text: str,
    fixed: Mapping[str, Any],
    options: Mapping[str, "Option"],
    last: Mapping[str, Any],
) -> Any:
    """A command with the parameters `fixed`, the options, and `last`, whose default is None."""
    empty = inspect.Parameter.empty
    kinds = {name: _taken(option.kind) for name, option in options.items()}
    given = {name: Annotated[kinds[name], typer.Option(help=option.help)] for name, option in options.items()}
    defaults = {name: option.default for name, option in options.items()} | dict.fromkeys(last)
    annotations = {**fixed, **given, **last}

    def called(**values: Any) -> None:
        for name, value in values.items():
            if name in options and kinds[name] != options[name].kind and value is not None:
                values[name] = tuple(value)
        run(**values)

    called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name, empty), annotation=kind)
            for name, kind in annotations.items()
        ]
    )
    called.__annotations__ = annotations
    alone = typer.Typer(**PLAIN)
    alone.command(benchmark.name, help=": ".join(filter(None, (benchmark.title, text))).rstrip(".") + ".")(called)
    return typer.main.get_command(alone)


def _taken(kind: Any) -> Any:
    """An option's type as typer takes it: a tuple of any length is a list, whose option comes once for each value."""
    if get_origin(kind) in (Union, UnionType):
        return reduce(operator.or_, map(_taken, get_args(kind)))
    return list[get_args(kind)[0]] if get_args(kind)[1:] == (Ellipsis,) else kind  # type: ignore[misc]
