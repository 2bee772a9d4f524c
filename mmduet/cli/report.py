"""`mmduet report` and `mmduet doctor`: run suites of notebooks, and check the environment."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mmduet.cli.root import app, resumable


@app.command()
def report(
    suite: Annotated[Path, typer.Argument(help="A suite: notebooks and their parameters (YAML).")],
    output: Annotated[
        Path | None, typer.Option(help="Folder for the reports.", show_default="reports/out/SUITE")
    ] = None,
    force: Annotated[bool, typer.Option(help="Also run again what is done and unchanged.")] = False,
    check: Annotated[bool, typer.Option(help="Check the suite and list its runs; run nothing.")] = False,
) -> None:
    """Run the notebooks of a suite with papermill, and write an HTML report of each and an index."""
    from mmduet.reports import check_suite, run_suite
    from mmduet.reports.credentials import without_credentials

    if check:
        _, folder, runs = check_suite(suite, output=output)
        for run in runs:
            typer.echo(f"{run.name}: {run.notebook} {json.dumps(without_credentials(dict(run.parameters)))}")
        counted = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
        typer.echo(f"{counted}, all parameters known; reports would go to {folder}")
        return
    with resumable(lambda: "the reports made so far are kept, and the same command makes the others."):
        result = run_suite(suite, output=output, force=force)
    raise typer.Exit(1 if result.failed else 0)


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option(help="Repair what can be repaired, and build the mini model.")] = False,
) -> None:
    """Check that this environment can run the workbench; one line a check."""
    from mmduet.doctor import examine

    problems = 0
    for finding in examine(fix=fix):
        problems += not finding.good
        typer.secho(f"{'ok  ' if finding.good else 'FAIL'}  {finding.text}", fg=None if finding.good else "red")
    raise typer.Exit(min(problems, 1))
