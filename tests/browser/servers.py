"""JupyterLab and Voilà on loopback, each with a folder of its own and nothing of the user's."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 60  # s
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\S*\?token=\w+")


@contextmanager
def serve(folder: Path, *command: str) -> Iterator[str]:
    """Runs `python -m command`; gives the address, with its token, that it prints; ends it on leaving."""
    homes = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTERLAB_SETTINGS_DIR")
    own = {name: str(folder / "jupyter" / name.lower()) for name in (*homes, "JUPYTERLAB_WORKSPACES_DIR")}
    log = folder / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, env={**os.environ, **own}, stdout=output, stderr=output
        )
    try:
        yield _address(server, log)
    finally:
        server.terminate()
        server.wait(PATIENCE)


def _address(server: subprocess.Popen, log: Path) -> str:
    ending = time.monotonic() + PATIENCE
    while time.monotonic() < ending:
        if found := ADDRESS.search(log.read_text()):
            return found[0]
        assert server.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(f"no address in {PATIENCE} s: {log.read_text()}")
