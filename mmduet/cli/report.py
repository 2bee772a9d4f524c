"""`mmduet report` and `mmduet doctor`: run suites of notebooks, and check the environment."""

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
    check: Annotated[bool, typer.Option(help="Check the suite and print its plan; run nothing.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Run on so many workers of this machine.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Run on the workers of a Dask scheduler: its address.")] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="Run on jobs of Slurm, PBS, … or Kubernetes: a cluster file (YAML).")
    ] = None,
) -> None:
    """Run the notebooks of a suite with papermill, and write an HTML report of each and an index.

    One notebook runs after the other. --workers, --scheduler and --cluster exclude each other: each runs several at
    once. They need Dask: `pip install 'mmduet-workbench[cluster]'`.
    """
    from mmduet.reports import check_suite, run_suite
    from mmduet.reports.plan import make_plan, plan_lines

    if check:
        checked, folder, runs = check_suite(suite, output=output)
        steps = make_plan(checked, folder, runs, force=force)
        for line in plan_lines(steps):
            typer.echo(line)
        counted = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
        done = sum(step.record is not None for step in steps)
        typer.echo(f"{counted}, all parameters known, {done} done already; reports would go to {folder}")
        return
    with resumable(lambda: "the reports made so far are kept, and the same command makes the others."):
        result = run_suite(suite, output=output, force=force, workers=workers, scheduler=scheduler, cluster=cluster)
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
