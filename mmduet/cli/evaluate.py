"""`mmduet evaluate scenes`: measure a model on generated clips."""

from pathlib import Path
from typing import Annotated

import typer

from mmduet.cli.benchmarks import OUTPUT, evaluate_app
from mmduet.cli.root import DEVICE, DTYPE, check_figures, say, show


@evaluate_app.command("scenes")
def evaluate_scenes(
    model: Annotated[str, typer.Option(help="Preset or checkpoint folder.")] = "mini",
    adapter: Annotated[Path | None, typer.Option(help="PEFT adapter folder, instead of the preset's own.")] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    clips: Annotated[int, typer.Option(help="Clips of the split.")] = 60,
    threshold: Annotated[float, typer.Option(help="Respond above this informative score.")] = 0.5,
    root: Annotated[Path, typer.Option(help="Folder of scenes/, which is made if it is missing.")] = Path("datasets"),
    dtype: DTYPE = "auto",
    device: DEVICE = "auto",
    output: OUTPUT = None,
) -> None:
    """AUC of both heads, and whether each scene is named once and in time; 95 % bootstrap intervals over clips."""
    from mmduet.checkpoints import load_duet
    from mmduet.data.scenes import make_scenes
    from mmduet.evaluation.benchmarks.scenes import UNITS, check_clips, quality
    from mmduet.policy import ScoreThreshold
    from mmduet.system.devices import choose_device

    check_figures(output)
    check_clips(split, clips)
    ScoreThreshold(threshold)  # refuses NaN before clips are made
    place = choose_device(device)
    folder = make_scenes(root, **{name: clips if name == split else 0 for name in ("train", "val", "test")})
    duet, processor = load_duet(model, adapter=adapter, dtype=dtype, device=place)
    figures = quality(
        duet, processor, folder, split=split, clips=clips, threshold=threshold, feature_folder=root / "features"
    )
    say(f"{model} on scenes/{split}, {clips} clips, threshold {threshold}: value [95 % interval over clips]")
    show(figures, UNITS, output)
