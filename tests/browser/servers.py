"""JupyterLab and Voilà on loopback, with a folder of their own and nothing of the user's."""

import ast
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tests.chromium import Browser, Page, record, until

PATIENCE = 60  # s
ENDING = 15  # s that a server has to end by itself
ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+)/\S*\?(token=\w+)")
SETTINGS = {  # a notebook's cells all stay on the page, and no news are asked for
    "jupyterlab_settings_dir/@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
    "jupyter_config_dir/labconfig/page_config.json": {
        "disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}
    },
}
RUN_CODE = """
async ([code, printed]) => {
  const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
  const reply = (await kernel.requestExecute({ code, user_expressions: { printed } }).done).content;
  if (reply.status !== "ok") throw new Error(reply.traceback?.join("\\n") ?? reply.status);
  return reply.user_expressions.printed.data["text/plain"];
}
"""
# what is printed comes back with the reply: as output, a widget's message at the same time may get it
CAPTURED = """
import contextlib, io
_printed = io.StringIO()
with contextlib.redirect_stdout(_printed):
    exec({code!r})
"""


@contextmanager
def serve(folder: Path, *command: str, **environment: str) -> Iterator[tuple[str, str]]:
    """Runs `python -m command` in a folder; gives the address that it prints, and "token=…"; ends it on leaving."""
    homes = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR")
    own = folder / "jupyter"
    places = {name: str(own / name.lower()) for name in (*homes, "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")}
    for name, settings in SETTINGS.items():
        (own / name).parent.mkdir(parents=True)
        (own / name).write_text(json.dumps(settings))
    log = own / "log"
    if command[0] == "jupyterlab":
        command = (*command, f"--ServerApp.port={_free_port()}")
    variables = {**os.environ, **places, **environment}
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, env=variables, stdout=output, stderr=output
        )
    try:
        yield _address(server, log)
    finally:
        server.terminate()
        try:
            server.wait(ENDING)
        except subprocess.TimeoutExpired:  # an idle worker thread of Jupyter's web server may outlive its event loop
            server.kill()
            server.wait(PATIENCE)


def serve_lab(folder: Path):
    """JupyterLab over a folder, as `serve`."""
    options = ("--no-browser", "--allow-root", "--expose-app-in-browser", "--ServerApp.ip=127.0.0.1")
    return serve(folder, "jupyterlab", *options)


def _address(server: subprocess.Popen, log: Path) -> tuple[str, str]:
    ending = time.monotonic() + PATIENCE
    while time.monotonic() < ending:
        if (found := ADDRESS.search(log.read_text())) and _is_listening(found[1]):
            return found[1], found[2]
        assert server.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(f"no address in {PATIENCE} s: {log.read_text()}")


def _is_listening(address: str) -> bool:
    """A server may print its address before it accepts connections."""
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def _free_port() -> int:
    """A port that no server has; the default one would be tried by all that start at the same time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_notebook(path: Path, *cells: str | nbformat.NotebookNode) -> None:
    """Writes a notebook of cells, or of code."""
    made = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(new_notebook(cells=made, metadata=kernel), path)


@contextmanager
def open_notebook(
    browser: Browser, folder: Path, *cells: str | nbformat.NotebookNode, players: int = 1
) -> Iterator[Page]:
    """A notebook of cells in JupyterLab, run until this many players are shown. The page may report no error."""
    write_notebook(folder / "live.ipynb", *cells)
    with serve_lab(folder) as (address, token):
        page = browser.new_page(viewport={"width": 1100, "height": 1000})
        seen = record(page)
        run_notebook(page, address, token, "live.ipynb")
        page.locator(".mmduet-player").nth(players - 1).wait_for()
        yield page
        assert not seen.errors
        page.close()


def run_notebook(page: Page, address: str, token: str, name: str) -> None:
    """Opens a notebook in JupyterLab and runs it to its end."""
    page.goto(f"{address}/doc/tree/{name}?{token}")
    until(page, "window.jupyterapp?.shell.currentWidget?.context?.isReady")
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.ready.then(() => null)")
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells').then(() => null)")


def set_theme(page: Page, theme: str) -> None:
    """theme: "Light" or "Dark"."""
    page.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{ theme: 'JupyterLab {theme}' }})")
    until(page, f"document.body.dataset.jpThemeLight === '{json.dumps(theme == 'Light')}'")
    until(page, "!document.getElementById('jupyterlab-splash')")


def run_code(page: Page, code: str) -> str:
    """Has the open notebook's kernel run something; gives what it prints. What it raises is raised."""
    return ast.literal_eval(page.evaluate(RUN_CODE, [CAPTURED.format(code=code), "_printed.getvalue()"]))
