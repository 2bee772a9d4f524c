"""`mmduet scenes`, `world` and `scan`: make clips and streams, and read the metadata of videos."""

import os
from pathlib import Path
from typing import Annotated

import typer

from mmduet.cli.root import app, resumable, say
from mmduet.errors import DuetError


@app.command()
def scenes(
    root: Annotated[Path, typer.Option(help="Folder of scenes/.")] = Path("datasets"),
    train: Annotated[int, typer.Option(min=0, help="Training clips.")] = 240,
    val: Annotated[int, typer.Option(min=0, help="Validation clips.")] = 24,
    test: Annotated[int, typer.Option(min=0, help="Test clips.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same files.")] = 0,
) -> None:
    """Make the `scenes` data set: mp4 files, and their annotations in all published formats."""
    from mmduet.data.scenes import make_scenes

    with resumable(lambda: f"the clips made so far are in {root / 'scenes'}, and the same command makes the others."):
        say(make_scenes(root, seed=seed, train=train, val=val, test=test))


@app.command()
def world(
    root: Annotated[Path, typer.Option(help="Folder of world/.")] = Path("datasets"),
    model: Annotated[str, typer.Option(help="A model whose frames are names: a preset or a folder.")] = "mini-base",
    train: Annotated[int, typer.Option(min=0, help="Training streams.")] = 3200,
    val: Annotated[int, typer.Option(min=0, help="Validation streams.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same streams.")] = 0,
) -> None:
    """Make the `world` data set: streams of a thousand things as a classifier sees them, and their annotations.

    `mini` is trained on it together with `scenes`.
    """
    from mmduet.data.world import make_world

    with resumable(lambda: f"the streams made so far are in {root / 'world'}, and the same command makes the others."):
        say(make_world(root, model=model, seed=seed, train=train, val=val))


@app.command()
def scan(
    folder: Annotated[Path, typer.Argument(help="Folder of videos, with its subfolders.")],
    output: Annotated[Path | None, typer.Option(help="Metadata file.", show_default="FOLDER_metadata.json")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="one a core")] = None,
) -> None:
    """Write the duration and frame rate of every video into a metadata file, a mixture's metadata_path.

    The same command resumes a scan that was killed. Later it opens only files that changed. The file with
    .broken.json after its name lists the videos that cannot be read, with the reason.
    """
    from mmduet.data.metadata import scan_videos

    whole = Path(os.path.abspath(folder))  # "." has no name
    if output is None and not whole.name:
        raise DuetError(f"{folder} has no name to put before _metadata.json: give --output.")
    output = output or whole.with_name(f"{whole.name}_metadata.json")
    with resumable(lambda: f"what was read so far is kept next to {output}, and the same command reads the rest."):
        found = scan_videos(folder, output, workers=workers)
    hours = sum(info.duration for info in found.videos.values()) / 3600
    say(f"{output}: {len(found.videos)} videos, {hours:.1f} hours; {len(found.broken)} cannot be read")
    for name, error in list(found.broken.items())[:10]:
        typer.secho(f"  {name}: {error}", fg="red", err=True)
