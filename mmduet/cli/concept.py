"""`mmduet concept`: teach a model the name of something, from pictures."""

from pathlib import Path
from typing import Annotated

import typer

from mmduet.cli.root import app, say


@app.command()
def concept(
    name: Annotated[str, typer.Argument(help='What the model shall say, without an article: "coffee machine".')],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures of it, in their middle; five are a good number.")],
    output: Annotated[Path, typer.Option(help="Folder of the new adapter.")],
    model: Annotated[str, typer.Option(help="A model whose frames are names: a preset or a folder.")] = "mini",
    adapter: Annotated[str | None, typer.Option(help="The adapter to add it to, instead of the preset's own.")] = None,
) -> None:
    """Add a name to an adapter, without training. All other commands take the result as --adapter.

    To add another name, give the last output as --adapter, and a new --output. It keeps the names that were added
    before.
    """
    from mmduet.checkpoints import add_concept, load_duet, save_concepts
    from mmduet.checkpoints.concepts import concept_tower
    from mmduet.checkpoints.presets import find_preset
    from mmduet.errors import DuetError

    preset = find_preset(model)
    source = adapter or (preset.adapter if preset else None)
    duet, processor = load_duet(model, adapter=source, device="cpu", dtype="float32")
    names = concept_tower(duet).config
    if source is None:
        raise DuetError(f"{model} has no adapter of its own: give --adapter.")
    add_concept(duet, processor, name, pictures)
    save_concepts(duet, source, output)
    say(f"{output}: {len(names.names)} names, {len(names.added)} of them added: {', '.join(names.added)}")
