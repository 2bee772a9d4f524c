"""`mmduet export`: predictions in the form of a benchmark's own server."""

from pathlib import Path
from typing import Annotated

import typer

from mmduet.cli.root import export_app


@export_app.command("qvhighlights")
def export_qvhighlights(
    predictions: Annotated[Path, typer.Argument(help="Prediction file (JSONL).")],
    output: Annotated[Path, typer.Option(help="Submission file to write (JSONL).")],
    references: Annotated[Path | None, typer.Option(help="The release file, also of the test split.")] = None,
    window: Annotated[int, typer.Option(help="Frames on each side to smooth over.")] = 2,
    threshold: Annotated[float, typer.Option(help="Of the scaled saliency, for windows.")] = 0.5,
) -> None:
    """QVHighlights: predictions as an official submission, for the server that has the test split's labels.

    With --references each line has the query and vid of the release, and as
    many saliency scores as its clips.
    """
    from mmduet.evaluation.benchmarks.submission import is_submission, submission_lines, write_submission
    from mmduet.evaluation.predictions import coverage, read_predictions
    from mmduet.evaluation.references import read_queries
    from mmduet.files import check_target

    check_target(output, ours=is_submission, inputs=[predictions, *([references] if references else [])])
    found = read_predictions(predictions)
    queries = None if references is None else read_queries(references)
    typer.echo(coverage(found, found.by_id if queries is None else queries))
    lines = submission_lines(found.by_id, queries, window=window, threshold=threshold)
    write_submission(output, lines)
    typer.echo(f"{output}: {len(lines)} queries")
