"""The `mmduet` command. Each subcommand is a thin layer over functions of the package."""

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

import mmduet
from mmduet.errors import DuetError

if TYPE_CHECKING:
    from mmduet.evaluation.metrics.bootstrap import Estimate

DTYPE = Annotated[
    str, typer.Option(help="Precision of the weights: auto (bfloat16 on a GPU), bfloat16, float16 or float32.")
]
ABOUT = "Models that watch a video and decide when to speak: run, train, evaluate and report them."
DEVICE = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu, cuda, mps, …")]


def say(text: object) -> None:
    """Print a line. If the reader has left, as `head` does, nothing more is printed, and the command's work goes on."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        broken, nowhere = os.fstat(sys.stdout.fileno()), os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # both, if warnings and progress go to the same reader
            if os.path.samestat(os.fstat(stream.fileno()), broken):
                os.dup2(nowhere, stream.fileno())


@contextmanager
def resumable(kept: Callable[[], str]) -> Iterator[None]:
    """A block that Ctrl-C ends with one sentence and status 130, SIGTERM with status 143.

    Args:
        kept: Says what the stopped command keeps.
    """
    from mmduet.system.interrupts import Terminated, terminable

    try:
        with terminable():
            yield
    except KeyboardInterrupt as stop:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # one process of several prints it
            typer.secho(f"mmduet: stopped; {kept()}", fg="yellow", err=True)
        raise typer.Exit(143 if isinstance(stop, Terminated) else 130) from None


# rich would cut long option names at 80 columns, and take "[cluster]" in a text for markup
PLAIN: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False, "add_completion": False}


class Group(TyperGroup):
    """A group whose help has the whole first sentence of each command."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands; click itself cuts their sentences to one line."""
        commands: list[tuple[str, Any]] = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(sys.maxsize)) for name, command in commands])


class _Commands(Group):
    """Commands that print one sentence when they are stopped; those that keep something say what."""

    def invoke(self, ctx: Any) -> Any:
        with resumable(lambda: "it was not done: run the same command again."):
            return super().invoke(ctx)


app = typer.Typer(no_args_is_help=True, cls=_Commands, **PLAIN)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"mmduet {mmduet.__version__}")
        raise typer.Exit


@app.callback(help=ABOUT)
def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and end.")
    ] = False,
) -> None: ...


def main() -> None:
    """Run the command; a user's mistake is printed as one sentence, without a traceback."""
    try:
        app()
    except DuetError as error:
        typer.secho(f"mmduet: {error}", fg="red", err=True)
        raise SystemExit(1) from None
    except OSError as error:  # a path of the command line that the system refuses, such as one that is too long
        from mmduet.files.messages import shown

        if error.filename is None:
            raise
        typer.secho(f"mmduet: {shown(str(error.filename))}: {error.strerror}: correct the path.", fg="red", err=True)
        raise SystemExit(1) from None
    except Exception as error:
        error.__traceback__ = _own_frames(error.__traceback__)
        raise


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback after the frames of typer: those of the command, and of a user's own module."""
    own = trace
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] in ("typer", "click"):
            own = trace.tb_next or own
        trace = trace.tb_next
    return own


def check_figures(output: Path | None, *inputs: Path | None) -> None:
    """Refuse an `--output` that is no file of figures, before anything is computed.

    Args:
        output: The file to write.
        inputs: The files that the command reads.

    Raises:
        FileError: The output is an input, or a file of another kind.
    """
    from mmduet.files import check_target, read_json

    if output is not None:
        check_target(
            output,
            ours=lambda path: min({"value", "low", "high"} <= set(row) for row in read_json(path).values()),
            inputs=[path for path in inputs if path is not None],
        )


def show(estimates: Mapping[str, "Estimate"], units: Mapping[str, str], output: Path | None = None) -> None:
    """Print figures with their intervals and units, and write them as JSON if there is an output."""
    width, wide = max(map(len, estimates)), max(len(str(estimate)) for estimate in estimates.values())
    for name, estimate in estimates.items():
        say(f"  {name:{width}} {estimate!s:{wide}} {units[name]}")
    if output:
        write_figures(output, {name: (estimate, units[name]) for name, estimate in estimates.items()})


def write_figures(output: Path, figures: Mapping[str, tuple["Estimate", str]]) -> None:
    """Write figures with their units as JSON: name -> value, low, high, unit. What is not known is null."""
    from mmduet.files import write_json

    write_json(output, {name: _known(asdict(estimate)) | {"unit": unit} for name, (estimate, unit) in figures.items()})


def _known(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Figures as JSON has them: it has neither NaN nor infinity."""
    return {name: figure if math.isfinite(figure) else None for name, figure in figures.items()}
