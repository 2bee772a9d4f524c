"""The hub: checkpoint names to folders."""

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from mmduet.errors import CheckpointError


def find_folder(name: str | Path) -> Path:
    """Return a local folder, or the snapshot of a hub id, which is downloaded once.

    Raises:
        CheckpointError: The name is neither, or the hub cannot be reached.
    """
    if Path(name).is_dir():
        return Path(name)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(name)):
        raise CheckpointError(f"{str(name)!r} is no folder and no hub id (owner/name).")
    try:
        return Path(snapshot_download(str(name), allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{name} is no local folder, and the hub cannot be reached ({type(error).__name__}): download it on a "
            "machine with a network, and give its folder."
        ) from error
