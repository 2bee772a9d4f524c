"""The `mmduet` command. Each subcommand is a thin layer over one function of the package."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mmduet.errors import DuetError


@contextmanager
def resumable(kept: Callable[[], str]) -> Iterator[None]:
    """End the block with one sentence and status 130 on Ctrl-C, 143 on SIGTERM. kept: says what stays."""
    from mmduet.system.interrupts import Terminated, terminable

    try:
        with terminable():
            yield
    except KeyboardInterrupt as stop:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # one process speaks for all
            typer.secho(f"mmduet: stopped; {kept()}", fg="yellow", err=True)
        raise typer.Exit(143 if isinstance(stop, Terminated) else 130) from None


class _Commands(TyperGroup):
    """Commands that say in one sentence that they were stopped; those that keep something say what."""

    def invoke(self, ctx: Any) -> Any:
        with resumable(lambda: "it was not done: run the same command again."):
            return super().invoke(ctx)


app = typer.Typer(
    help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, cls=_Commands
)
evaluate_app = typer.Typer(help="Measure a model on a data set.", no_args_is_help=True)
app.add_typer(evaluate_app, name="evaluate")
export_app = typer.Typer(
    help="Write predictions in the form that a benchmark's own server takes.", no_args_is_help=True
)
app.add_typer(export_app, name="export")


def main() -> None:
    """Run the command; what the user did wrong is one sentence, not a traceback."""
    try:
        app()
    except DuetError as error:
        typer.secho(f"mmduet: {error}", fg="red", err=True)
        raise SystemExit(1) from None


def check_figures(output: Path | None, *inputs: Path | None) -> None:
    """Refuse an `--output` that is no file of figures, before anything is computed. inputs: what the command reads."""
    from mmduet.files import check_target, read_json

    if output is not None:
        check_target(
            output,
            ours=lambda path: min({"value", "low", "high"} <= set(row) for row in read_json(path).values()),
            inputs=[path for path in inputs if path is not None],
        )


DTYPE = Annotated[str, typer.Option(help="Of the weights: auto (bfloat16 on a GPU), bfloat16, float16 or float32.")]
DEVICE = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu, cuda, mps, …")]
