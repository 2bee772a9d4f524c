"""`mmduet scenes` and `mmduet scan`: make and measure clips."""

from pathlib import Path
from typing import Annotated

import typer

from mmduet.cli.root import app, resumable


@app.command()
def scenes(
    root: Annotated[Path, typer.Option(help="Folder that gets scenes/.")] = Path("datasets"),
    train: Annotated[int, typer.Option(min=0, help="Training clips.")] = 240,
    val: Annotated[int, typer.Option(min=0, help="Validation clips.")] = 24,
    test: Annotated[int, typer.Option(min=0, help="Test clips.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same files.")] = 0,
) -> None:
    """Make the `scenes` data set: mp4 files and their annotations in all the published formats."""
    from mmduet.data.scenes import make_scenes

    with resumable(lambda: f"the clips made so far are in {root / 'scenes'}, and the same command makes the others."):
        typer.echo(make_scenes(root, seed=seed, train=train, val=val, test=test))


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
    with resumable(lambda: f"what was read so far is kept beside {output}, and the same command reads the rest."):
        found = scan_videos(folder, output, workers=workers)
    hours = sum(info.duration for info in found.videos.values()) / 3600
    typer.echo(f"{output}: {len(found.videos)} videos, {hours:.1f} hours; {len(found.broken)} cannot be read")
    for name, error in list(found.broken.items())[:10]:
        typer.secho(f"  {name}: {error}", fg="red", err=True)
