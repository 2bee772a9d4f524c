"""`mmduet train` and `mmduet convert`: make adapters and checkpoints."""

from pathlib import Path
from typing import Annotated

import typer

from mmduet.cli.root import DEVICE, DTYPE, app, resumable, say

KIND = Annotated[list[str] | None, typer.Option(help="Your own annotation kind, module:OBJECT; may be repeated.")]


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="A training config (YAML), or the name of one that ships.")],
    kind: KIND = None,
) -> None:
    """Train an adapter: LoRA, projector and both heads, by a config.

    Configs that ship: mini_world, the adapter of `mini` on two cores;
    scenes_mini, the same on `scenes` alone; mmduet_7b, the published run;
    mmduet_qwen, its heads on Qwen2.5-VL. A small config of your own:

    output: runs/mine
    model: {base: mini-base}
    data: {train: mixture.json, validation: validation_mixture.json}
    features: {folder: datasets/features}
    recipe: {steps: 300, align_iterations: 0, save_every: 50}

    An unknown field is an error that lists the known ones. They are described
    in mmduet/training/recipe.py and config.py. Paths are relative to the
    working directory.

    The run writes adapter/ (the best by recipe.best_by, or the last),
    checkpoint-STEPS/, run.json, and event files if recipe.tensorboard is set.
    The same command resumes from the newest complete checkpoint; the losses
    are those of an uninterrupted run. It refuses another recipe and other
    data. The base has no adapter of its own: mini-base, not mini.
    SIGTERM ends the run after the step, with a checkpoint and status 143;
    Ctrl-C does the same with status 130. A second Ctrl-C ends it at once.
    A loss that is NaN or infinite ends it, and names the conversations.

    Several processes: torchrun --nproc-per-node 2 -m mmduet train CONFIG. They
    share every step: batch_size x processes conversations at once. On a CPU
    accelerate launch starts only one.
    """
    from accelerate import PartialState

    from mmduet.data.kinds import known_kinds
    from mmduet.training.checkpointing import kept
    from mmduet.training.config import read_config, run_config

    kinds = known_kinds(kind or (), argument="--kind")
    settings = read_config(config, kinds)
    with resumable(lambda: f"{kept(settings.output)}."):
        result = run_config(settings, kinds)
    if PartialState().is_main_process:
        say(result.summary())
        if result.stopped:
            typer.secho(f"stopped after step {result.steps}, as requested: {kept(settings.output)}", fg="yellow")
    raise typer.Exit(143 if result.stopped else 0)


@app.command()
def convert(
    base: Annotated[str, typer.Argument(help="Preset, folder or hub id of the base model.")],
    output: Annotated[Path, typer.Argument(help="Folder for the complete model in this project's own layout.")],
    adapter: Annotated[str | None, typer.Option(help="PEFT adapter to merge into it: folder or hub id.")] = None,
    dtype: DTYPE = "bfloat16",
    device: DEVICE = "auto",
) -> None:
    """Merge a checkpoint and its adapter into one folder in this project's layout, which `load_duet` reads.

    So does DuetForConditionalGeneration.from_pretrained, but not AutoModel.
    """
    from mmduet.checkpoints import load_duet, save_checkpoint
    from mmduet.files import check_folder

    check_folder(output, inputs=[base, *([adapter] if adapter else [])])
    with resumable(lambda: f"{output} is as it was."):
        model, processor = load_duet(base, adapter=adapter, dtype=dtype, device=device)
        save_checkpoint(model, processor, output)
    say(f"{output}: {model.num_parameters() / 1e6:,.0f} million parameters, {str(model.dtype)[6:]}")
