"""`mmduet calibrate`: choose a policy from scored frames."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmduet.cli.root import app, say
from mmduet.errors import DuetError

if TYPE_CHECKING:
    from mmduet.evaluation.benchmark import Settings
    from mmduet.evaluation.calibration import Calibration
    from mmduet.policy import Policy

PREDICTIONS = Annotated[Path, typer.Argument(help="Prediction file with frame scores (JSONL).")]
REFERENCES = Annotated[Path, typer.Option(help="The benchmark's test file.")]
TARGET = Annotated[
    str,
    typer.Option(
        help="rate=N: N responses a minute, with the best timing F1. f1: the best timing F1. pauc: the best PAUC, if "
        "responses in a span are right. false-alarms=N: at most N responses a minute outside the spans, and the most "
        "spans with a response."
    ),
]
BENCHMARK = Annotated[
    str | None,
    typer.Option(help="The benchmark, or your own as module:OBJECT.", show_default="as the prediction file states"),
]
OUTPUT = Annotated[
    Path | None, typer.Option(help="Policy file to write (JSON).", show_default="PREDICTIONS.policy.json")
]
MODES = Annotated[str, typer.Option(help="Policies that are tried, with commas; also module:OBJECT.")]
HEADS = Annotated[
    str | None,
    typer.Option(
        help="Heads that are tried, with commas; a sum of both as informative+relevance.",
        show_default="each head, and both",
    ),
]


@app.command()
def calibrate(
    predictions: PREDICTIONS,
    references: REFERENCES,
    target: TARGET,
    benchmark: BENCHMARK = None,
    output: OUTPUT = None,
    modes: MODES = "threshold,sum,hysteresis",
    heads: HEADS = None,
    max_rate: Annotated[float | None, typer.Option(min=0, help="Maximum responses a minute.")] = None,
    thresholds: Annotated[int, typer.Option(help="Thresholds that are tried of each policy.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the halves.")] = 0,
) -> None:
    """Choose when to speak from scored frames, without the model, and write it as a policy file.

    Mode, heads and threshold are chosen on one half of the videos. What they give on the other half is printed with 95
    % intervals over questions, beside the policy that made the predictions. `mmduet predict --policy FILE` and the
    notebooks take the file.
    """
    from mmduet.evaluation import calibration
    from mmduet.evaluation.benchmarks import find_benchmark
    from mmduet.evaluation.coverage import read_matched
    from mmduet.evaluation.stated_settings import settings_that_made, stated_by
    from mmduet.policy import check_policy_target, write_policy

    wanted = calibration.parse_target(target, **({} if max_rate is None else {"most": max_rate}))
    written = output or predictions.with_name(f"{predictions.name}.policy.json")
    check_policy_target(written, [predictions, references])
    known = find_benchmark(_benchmark(predictions, benchmark or stated_by(predictions).get("benchmark")))
    found, items = read_matched(known, predictions, references, say)
    scores = next((each.trace.heads for each in found.values() if len(each.trace)), ())
    chosen = calibration.calibrate(
        found,
        items,
        wanted,
        candidates=calibration.candidates_for(
            scores, modes.split(","), [choice.split("+") for choice in heads.split(",")] if heads else None
        ),
        before=_before(settings_that_made(predictions), modes.split(",")),
        thresholds=thresholds,
        seed=seed,
    )
    write_policy(written, chosen.file(benchmark=known.name, predictions=predictions.name))
    _print(chosen, thresholds)
    say(f"{written}: for `mmduet predict --policy`, and for the parameter `policy_file` of notebooks")


def _benchmark(predictions: Path, name: Any) -> str:
    if not isinstance(name, str):
        raise DuetError(f"{predictions} does not state its benchmark: give --benchmark.")
    return name


def _before(made: "Settings | None", modes: list[str]) -> "Policy | None":
    """The policy that made the predictions; None where it is not known, or of one's own and not named in `modes`."""
    from mmduet.evaluation.benchmark import policy_of
    from mmduet.policy import POLICIES

    if made is None or made.threshold is None:
        return None
    if made.mode not in (*POLICIES, *modes):
        say(
            f"not compared with {made.mode}, which made the predictions: name it in --modes, since a file alone "
            "imports no code"
        )
        return None
    return policy_of(made)


def _print(chosen: "Calibration", thresholds: int) -> None:
    say(
        f"target {chosen.target}: chosen of {len(chosen.tried)} policies, at {thresholds} thresholds, on "
        f"{len(chosen.chosen_on)} questions; measured on {len(chosen.measured_on)} others:\n\n  {chosen.file()}\n"
    )
    say(f"{chosen.table().to_string()}\n")
    for head, temperature in chosen.temperatures.items():
        say(
            f"{head}: as the probability of a span, temperature {temperature.value:.2f}; calibration error "
            f"{temperature.before:.3f}, scaled {temperature.after:.3f}"
        )
