"""The `mmduet` command. Each subcommand is a thin layer over one function of the package."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mmduet.errors import DuetError

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
evaluate_app = typer.Typer(help="Measure a model on a data set.", no_args_is_help=True)
app.add_typer(evaluate_app, name="evaluate")


def main() -> None:
    """Run the command; what the user did wrong is one sentence, not a traceback."""
    try:
        app()
    except DuetError as error:
        typer.secho(f"mmduet: {error}", fg="red", err=True)
        raise SystemExit(1) from None


def _dtype(name: str):
    """The torch dtype of that name."""
    import torch

    if name not in ("bfloat16", "float16", "float32"):
        raise DuetError(f"dtype={name!r} is not known; use bfloat16, float16 or float32.")
    return getattr(torch, name)


@app.command()
def report(
    suite: Annotated[Path, typer.Argument(help="A suite: notebooks and their parameters (YAML).")],
    output: Annotated[Path | None, typer.Option(help="Folder for the reports [default: reports/out/SUITE].")] = None,
    force: Annotated[bool, typer.Option(help="Run again what is done and unchanged.")] = False,
) -> None:
    """Run a suite's notebooks with papermill and write an HTML report of each, and an index."""
    from mmduet.reports import run_suite

    result = run_suite(suite, output=output, force=force)
    raise typer.Exit(1 if result.failed else 0)


@app.command()
def scenes(
    root: Annotated[Path, typer.Option(help="Folder that gets scenes/.")] = Path("datasets"),
    train: Annotated[int, typer.Option(help="Training clips.")] = 240,
    val: Annotated[int, typer.Option(help="Validation clips.")] = 24,
    test: Annotated[int, typer.Option(help="Test clips.")] = 60,
    seed: Annotated[int, typer.Option(help="Same seed, same files.")] = 0,
) -> None:
    """Make the `scenes` data set: mp4 files and their annotations in all the published formats."""
    from mmduet.data.scenes import make_scenes

    typer.echo(make_scenes(root, seed=seed, train=train, val=val, test=test))


@evaluate_app.command("scenes")
def evaluate_scenes(
    model: Annotated[str, typer.Option(help="Preset or checkpoint folder.")] = "mini",
    adapter: Annotated[Path | None, typer.Option(help="PEFT adapter folder, instead of the preset's own.")] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    clips: Annotated[int, typer.Option(help="Clips of the split.")] = 60,
    threshold: Annotated[float, typer.Option(help="Speak above this informative score.")] = 0.5,
    root: Annotated[Path, typer.Option(help="Folder that holds scenes/, or gets it.")] = Path("datasets"),
    output: Annotated[Path | None, typer.Option(help="Write the figures here too (JSON).")] = None,
) -> None:
    """Head AUC, and whether each scene is named, once, in time; 95 % bootstrap intervals over clips."""
    from dataclasses import asdict

    from mmduet.checkpoints import load_duet
    from mmduet.data.scenes import make_scenes
    from mmduet.evaluation.scenes import quality

    folder = make_scenes(root, **{name: clips if name == split else 0 for name in ("train", "val", "test")})
    duet, processor = load_duet(model, adapter=adapter)
    figures = quality(
        duet, processor, folder, split=split, clips=clips, threshold=threshold, feature_folder=root / "features"
    )
    typer.echo(f"{model} on scenes/{split}, {clips} clips, threshold {threshold}: value [95 % interval over clips]")
    for name, estimate in figures.items():
        typer.echo(f"  {name:20} {estimate}")
    if output:
        output.write_text(json.dumps({name: asdict(estimate) for name, estimate in figures.items()}, indent=1))


@app.command()
def predict(
    benchmark: Annotated[str, typer.Argument(help="youcook2, magqa, charades_sta or qvhighlights.")],
    references: Annotated[Path, typer.Option(help="The benchmark's test file.")],
    videos: Annotated[Path, typer.Option(help="Folder of its videos.")],
    output: Annotated[Path, typer.Option(help="Prediction file to write, or to go on with (JSONL).")],
    model: Annotated[str, typer.Option(help="Preset or checkpoint folder.")] = "mini",
    adapter: Annotated[str | None, typer.Option(help="PEFT adapter, instead of the preset's own.")] = None,
    dtype: Annotated[str, typer.Option(help="Of the weights: bfloat16, float16 or float32.")] = "float32",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, … [default: the process's own]")] = None,
    frame_fps: Annotated[float | None, typer.Option(help="Frames a second; 0: max-frames cover the video.")] = None,
    max_frames: Annotated[int | None, typer.Option(help="Of a video, at most.")] = None,
    mode: Annotated[str | None, typer.Option(help="threshold, or sum: of the scores since the last response.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Speak above this; inf: never.")] = None,
    heads: Annotated[str | None, typer.Option(help="informative, relevance, or both with a comma.")] = None,
    protocol: Annotated[str | None, typer.Option(help="training, or upstream: as the paper's numbers.")] = None,
    limit: Annotated[int | None, typer.Option(help="Ask the first so many questions only.")] = None,
) -> None:
    """Ask a benchmark's questions of its videos. A killed run goes on where it stopped.

    What is not given is as published. For several processes: accelerate launch -m mmduet predict …
    """
    from accelerate import PartialState

    from mmduet.checkpoints import load_duet
    from mmduet.prediction import predict, read_questions, with_overrides

    settings = with_overrides(
        benchmark, max_frames=max_frames, mode=mode, threshold=threshold, protocol=protocol,
        frame_fps=frame_fps, heads=tuple(heads.split(",")) if heads else None,
    )  # fmt: skip
    questions = read_questions(references)[:limit]
    duet, processor = load_duet(model, adapter=adapter, dtype=_dtype(dtype), device=device or PartialState().device)
    identity = {"benchmark": benchmark, "model": model, "adapter": adapter, "dtype": dtype}
    outcome = predict(duet, processor, questions, videos, output, settings=settings, identity=identity)
    if PartialState().is_main_process:
        typer.echo(f"{output}: {outcome.written} questions, {outcome.new} of them new")
        if outcome.failed:
            typer.secho(f"{len(outcome.failed)} of {outcome.written} questions failed:", fg="red", err=True)
            for name, error in outcome.failed.items():
                typer.secho(f"  {name}: {error}", fg="red", err=True)
    raise typer.Exit(1 if outcome.failed else 0)


@app.command()
def convert(
    base: Annotated[str, typer.Argument(help="Preset, folder or hub id of the base model.")],
    output: Annotated[Path, typer.Argument(help="Folder for the whole model in this project's own layout.")],
    adapter: Annotated[str | None, typer.Option(help="PEFT adapter to merge into it: folder or hub id.")] = None,
    dtype: Annotated[str, typer.Option(help="Of the weights: bfloat16, float16 or float32.")] = "bfloat16",
) -> None:
    """Write a published checkpoint, its adapter merged, as one folder that `load_duet` and transformers read."""
    from mmduet.checkpoints import load_duet, save_checkpoint

    model, processor = load_duet(base, adapter=adapter, dtype=_dtype(dtype))
    save_checkpoint(model, processor, output)
    typer.echo(f"{output}: {model.num_parameters() / 1e6:,.0f} million parameters, {dtype}")


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option(help="Repair what can be repaired, and build the mini model.")] = False,
) -> None:
    """Check that this environment can run the workbench, a line for each thing checked."""
    from mmduet.doctor import examine

    problems = 0
    for finding in examine(fix=fix):
        problems += not finding.good
        typer.secho(f"{'ok  ' if finding.good else 'FAIL'}  {finding.text}", fg=None if finding.good else "red")
    raise typer.Exit(min(problems, 1))


if __name__ == "__main__":
    main()
