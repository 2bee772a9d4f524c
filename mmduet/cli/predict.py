"""`mmduet predict`: ask a benchmark's questions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from mmduet.cli.root import DEVICE, DTYPE, app, resumable, say
from mmduet.errors import DuetError

if TYPE_CHECKING:
    from mmduet.evaluation.predict import Outcome

BENCHMARK = Annotated[
    str, typer.Argument(help="A benchmark that `mmduet evaluate --help` lists, or your own as module:OBJECT.")
]
HEADS = Annotated[
    str | None,
    typer.Option(help="informative, relevance, or both with a comma; not of a model in words."),
]
PROTOCOL = Annotated[str | None, typer.Option(help="training, or upstream: as the paper's numbers.")]
MODE = Annotated[
    str | None,
    typer.Option(
        help="Policy: threshold, sum (of scores since the last response), hysteresis (not twice in a rise), greedy (of "
        "a model that decides in words), or module:OBJECT."
    ),
]
MODEL = Annotated[str, typer.Option(help="Preset, checkpoint folder, hub id, or your own preset as module:OBJECT.")]
KEEP_RESPONSES = Annotated[
    bool | None,
    typer.Option(
        "--keep-responses/--remove-responses",
        help="Whether responses stay in the context: kept in the paper's row MMDuet, removed in its row "
        "MMDuet (w/ rm. prev. turns).",
        show_default="as published for the benchmark",
    ),
]
MAX_NEW_TOKENS = Annotated[
    int | None, typer.Option(min=1, help="Maximum tokens of a response.", show_default="200, in words 512")
]
PENALTY = Annotated[
    float | None,
    typer.Option(help="Divides the logits of tokens that were generated before in the video.", show_default="none"),
]

FPS = Annotated[float | None, typer.Option(help="Frames a second; 0: max-frames cover the video.")]
LIMIT = Annotated[int | None, typer.Option(min=1, help="Ask only the first questions, this many.")]
THRESHOLD = Annotated[float | None, typer.Option(help="Respond above this; inf: never.")]
POLICY = Annotated[
    Path | None,
    typer.Option(
        help="Policy file of `mmduet calibrate`, or alert (both heads), instead of mode, threshold and heads."
    ),
]
FRAMES_PER_TURN = Annotated[
    int | None,
    typer.Option(min=1, help="Frames between two answers of a model that decides in words.", show_default="2"),
]
MAX_PIXELS = Annotated[int | None, typer.Option(min=1, help="Maximum pixels of a frame, for a Qwen2.5-VL.")]


@app.command()
def predict(
    benchmark: BENCHMARK,
    references: Annotated[Path, typer.Option(help="The benchmark's test file.")],
    videos: Annotated[Path, typer.Option(help="Folder of its videos.")],
    output: Annotated[Path, typer.Option(help="Prediction file to write or to resume (JSONL).")],
    model: MODEL = "mini",
    adapter: Annotated[str | None, typer.Option(help="PEFT adapter, instead of the preset's own.")] = None,
    dtype: DTYPE = "auto",
    device: DEVICE = "auto",
    frame_fps: FPS = None,
    max_frames: Annotated[int | None, typer.Option(help="Maximum frames of a video.", min=1)] = None,
    mode: MODE = None,
    threshold: THRESHOLD = None,
    heads: HEADS = None,
    policy: POLICY = None,
    protocol: PROTOCOL = None,
    keep_responses: KEEP_RESPONSES = None,
    max_new_tokens: MAX_NEW_TOKENS = None,
    repetition_penalty: PENALTY = None,
    frames_per_turn: FRAMES_PER_TURN = None,
    max_pixels: MAX_PIXELS = None,
    limit: LIMIT = None,
) -> None:
    """Ask a benchmark's questions of its videos, and write one line for each answer.

    Options that are not given are as published, for the benchmark or (in words) for MMDuet2. The same command resumes a
    run that was killed, and asks failed questions again; each has a line with its error, and the status is then 1. For
    MMDuet2's test files, videos is the images' folder. Two processes: torchrun --nproc-per-node 2 -m mmduet predict …
    """
    from mmduet.checkpoints import load_duet
    from mmduet.evaluation.predict import predict, with_overrides
    from mmduet.evaluation.prediction_file import check_output
    from mmduet.evaluation.processes import own_device
    from mmduet.evaluation.references import read_questions
    from mmduet.system.workers import end_with_launcher

    end_with_launcher()
    given = speaking(policy, mode, threshold, heads) | {
        "max_frames": max_frames, "protocol": protocol, "frame_fps": frame_fps, "frames_per_turn": frames_per_turn,
        "max_new_tokens": max_new_tokens, "repetition_penalty": repetition_penalty, **keeping(keep_responses),
    }  # fmt: skip
    shrunk = {"max_pixels": str(max_pixels)} if max_pixels else {}
    check_output(output, inputs=[references, videos, model, *([adapter] if adapter else [])])
    questions = read_questions(references, benchmark)[:limit]
    with resumable(lambda: f"the answers so far are in {output}, and the same command asks the other questions."):
        device = own_device(device)
        duet, processor = load_duet(model, adapter=adapter, dtype=dtype, device=device, max_pixels=max_pixels)
        identity = {"benchmark": benchmark, "model": model, "adapter": adapter, "dtype": str(duet.dtype)[6:]}
        asked = with_overrides(benchmark, duet, **given)
        end(predict(duet, processor, questions, videos, output, settings=asked, identity=identity | shrunk))


def speaking(policy: Path | None, mode: str | None, threshold: float | None, heads: str | None) -> dict[str, Any]:
    """The settings that say when the model speaks: of a policy file, or else of the options.

    Raises:
        DuetError: There are both, or the file is no policy file.
    """
    from mmduet.evaluation.benchmark import settings_of
    from mmduet.policy import read_policy

    if policy is None:
        return {"mode": mode, "threshold": threshold, "heads": tuple(heads.split(",")) if heads else None}
    if threshold is not None or heads is not None:
        raise DuetError(f"--policy {policy} sets threshold and heads: leave out --threshold and --heads.")
    return settings_of(read_policy(policy, mode=mode))


def keeping(keep_responses: bool | None) -> dict[str, Any]:
    """The setting that says whether responses stay in the context."""
    return {"remove_assistant_turns": None if keep_responses is None else not keep_responses}


def end(outcome: "Outcome") -> NoReturn:
    """Print how many questions were answered, and why the others were not; the status is 1 if some were not."""
    from mmduet.evaluation.processes import this_process

    if this_process().is_main_process:
        _report(outcome)
    raise typer.Exit(1 if outcome.failed else 0)


def _report(outcome: "Outcome") -> None:
    say(f"{outcome.path}: {outcome.written} questions, {outcome.new} of them new")
    if outcome.failed:
        typer.secho(f"{len(outcome.failed)} of {outcome.written} questions failed:", fg="red", err=True)
        for name, error in outcome.failed.items():
            typer.secho(f"  {name}: {error}", fg="red", err=True)
