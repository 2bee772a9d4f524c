"""Names: how long they may be, in bytes as file systems count them."""

import os
from pathlib import Path

from mmduet.errors import FileError
from mmduet.files.messages import shown

LONGEST = 255  # of most file systems


def check_name(path: Path, *, added: int) -> None:
    """Refuse an output beside which a file or folder with a longer name could not be made.

    Args:
        path: The output.
        added: Bytes that the longer name adds.

    Raises:
        FileError: Its name is too long.
    """
    if (size := len(os.fsencode(path.name))) > LONGEST - added:
        raise FileError(
            f"{shown(path.name)} has {size} bytes, and the name of this output has at most {LONGEST - added}: give a "
            "shorter one."
        )


def bounded(name: str, *, added: int) -> str:
    """Return the beginning of a name, as much of it as leaves room for `added` bytes."""
    return os.fsencode(name)[: LONGEST - added].decode(errors="ignore")
