"""`mmduet predict`: ask a benchmark's questions."""

from pathlib import Path
from typing import Annotated

import typer

from mmduet.cli.root import DEVICE, DTYPE, app, resumable


@app.command()
def predict(
    benchmark: Annotated[str, typer.Argument(help="youcook2, magqa, charades_sta or qvhighlights.")],
    references: Annotated[Path, typer.Option(help="The benchmark's test file.")],
    videos: Annotated[Path, typer.Option(help="Folder of its videos.")],
    output: Annotated[Path, typer.Option(help="Prediction file to write, or to go on with (JSONL).")],
    model: Annotated[str, typer.Option(help="Preset or checkpoint folder.")] = "mini",
    adapter: Annotated[str | None, typer.Option(help="PEFT adapter, instead of the preset's own.")] = None,
    dtype: DTYPE = "auto",
    device: DEVICE = "auto",
    frame_fps: Annotated[float | None, typer.Option(help="Frames a second; 0: max-frames cover the video.")] = None,
    max_frames: Annotated[int | None, typer.Option(help="Of a video, at most.", min=1)] = None,
    mode: Annotated[str | None, typer.Option(help="threshold, or sum: of the scores since the last response.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Speak above this; inf: never.")] = None,
    heads: Annotated[str | None, typer.Option(help="informative, relevance, or both with a comma.")] = None,
    protocol: Annotated[str | None, typer.Option(help="training, or upstream: as the paper's numbers.")] = None,
    keep_responses: Annotated[
        bool | None,
        typer.Option(
            "--keep-responses/--remove-responses",
            help="Whether responses stay in the context: kept in the paper's row MMDuet, removed in its row "
            "MMDuet (w/ rm. prev. turns). [default: removed for youcook2 and magqa, kept for the others]",
        ),
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="A response ends after so many tokens. [default: 200]")
    ] = None,
    repetition_penalty: Annotated[
        float | None,
        typer.Option(help="Divides the logits of tokens that were generated before in the video. [default: none]"),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask the first so many questions only.")] = None,
) -> None:
    """Ask a benchmark's questions of its videos, and write a line for each answer.

    What is not given is as published. The same command resumes a run that was killed, and asks again the questions
    that failed: each of these has a line with its error, and the status is 1. A question that was asked after the
    last frame fails, too. For several processes: accelerate launch -m mmduet predict …
    """
    from mmduet.checkpoints.loading import load_duet
    from mmduet.evaluation.prediction import predict, read_questions, this_process, with_overrides
    from mmduet.evaluation.prediction_file import check_output
    from mmduet.system.workers import end_with_launcher

    end_with_launcher()
    settings = with_overrides(
        benchmark, max_frames=max_frames, mode=mode, threshold=threshold, protocol=protocol,
        frame_fps=frame_fps, heads=tuple(heads.split(",")) if heads else None, max_new_tokens=max_new_tokens,
        repetition_penalty=repetition_penalty,
        remove_assistant_turns=None if keep_responses is None else not keep_responses,
    )  # fmt: skip
    check_output(output, inputs=[references, videos, model, *([adapter] if adapter else [])])
    questions = read_questions(references)[:limit]
    own = this_process().device if device == "auto" else device  # each process its own
    with resumable(lambda: f"the answers so far are in {output}, and the same command asks the other questions."):
        duet, processor = load_duet(model, adapter=adapter, dtype=dtype, device=own)
        precision = str(duet.dtype).removeprefix("torch.")
        identity = {"benchmark": benchmark, "model": model, "adapter": adapter, "dtype": precision}
        outcome = predict(duet, processor, questions, videos, output, settings=settings, identity=identity)
    if this_process().is_main_process:
        typer.echo(f"{output}: {outcome.written} questions, {outcome.new} of them new")
        if outcome.failed:
            typer.secho(f"{len(outcome.failed)} of {outcome.written} questions failed:", fg="red", err=True)
            for name, error in outcome.failed.items():
                typer.secho(f"  {name}: {error}", fg="red", err=True)
    raise typer.Exit(1 if outcome.failed else 0)
