"""Execution: one notebook run by papermill in a fresh kernel."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import nbformat

from mmduet.errors import SuiteError
from mmduet.files import replacing, scratch_folder
from mmduet.reports.notebooks import read_notebook
from mmduet.reports.parameters import check_parameters, without_infinities

ENVIRONMENT = {
    "PLOTLY_RENDERER": "plotly_mimetype",  # figures stay data in the outputs, which reports and JupyterLab draw
    "MMDUET_REPORT": "1",  # widgets show the form that needs no kernel
}


class Stream(Protocol):
    """Takes what cells print."""

    def write(self, text: str, /) -> int:
        """Take a text."""

    def flush(self) -> None:
        """Show it now."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""


@dataclass(frozen=True)
class Execution:
    """An executed notebook. `error` is one line, empty where all cells ran."""

    notebook: nbformat.NotebookNode
    error: str
    started: datetime
    seconds: float


def execute(
    notebook: Path | str,
    output: Path | str,
    parameters: Mapping[str, Any],
    *,
    folder: Path | str = ".",
    cell_timeout: int | None = None,
    log: Stream | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Execution:
    """Check the parameters, run the notebook, and write the executed notebook.

    A cell that fails or takes too long, or a kernel that dies, ends the run and is reported in `Execution.error`. The
    cells that ran are in `output` also then.

    Args:
        notebook: The notebook's path.
        output: The path of the executed notebook.
        parameters: Values by name.
        folder: Where the notebook runs.
        cell_timeout: Maximum time of a cell, s; None for no limit.
        log: Gets what cells print, at once; None: stderr.
        progress: Is called before each cell with its number, from 0, and the number of cells.

    Raises:
        SuiteError: The notebook does not accept the parameters, or notebook or kernel are missing.
        FileError: `output` cannot be written.
    """
    check_parameters(notebook, parameters)
    source, started, clock = read_notebook(notebook), datetime.now(UTC), time.perf_counter()
    with replacing(output) as temporary, scratch_folder(temporary.parent) as runtime:
        # the kernel's connection file is removed with this folder, also when this process is killed
        with _environment(ENVIRONMENT | {"JUPYTER_RUNTIME_DIR": str(runtime)}):
            error = _papermill(source, temporary, parameters, folder, cell_timeout, log or sys.stderr, progress)
        seconds = time.perf_counter() - clock
        executed = _cleaned(read_notebook(temporary))
        nbformat.write(executed, temporary)
    return Execution(executed, error, started, seconds)


def _papermill(
    notebook: nbformat.NotebookNode,
    output: Path,
    parameters: Mapping[str, Any],
    folder: Path | str,
    cell_timeout: int | None,
    log: Stream,
    progress: Callable[[int, int], None] | None,
) -> str:
    """Run and write a notebook; the error in one line, or nothing."""
    import papermill  # slow to import, and a notebook that records metrics does not need it
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    injected = any("injected-parameters" in cell.metadata.get("tags", []) for cell in notebook.cells)
    count = len(notebook.cells) + (bool(parameters) and not injected)  # papermill adds a cell

    def before_cell(*, cell_index: int, **_: Any) -> None:
        if progress is not None:
            progress(cell_index, count)

    nbformat.write(notebook, output)  # a kernel that never starts leaves papermill nothing to write
    try:
        papermill.execute_notebook(
            notebook,
            str(output).replace("{", "{{").replace("}", "}}"),  # papermill reads it as a template
            dict(parameters),
            kernel_name="python3",  # this interpreter, whatever kernel the notebook was saved with
            language="python",
            cwd=folder,
            execution_timeout=cell_timeout,
            stdout_file=log,  # what cells print, and their own progress bars, at once
            stderr_file=log,
            progress_bar=log is sys.stderr or log.isatty(),
            on_cell_start=before_cell,
            store_widget_state=False,  # megabytes that a report does not use
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # its messages break the progress bar
        )
    except papermill.PapermillExecutionError as error:
        return f"{error.ename}: {error.evalue}".splitlines()[0] + f" (cell {error.exec_count})"
    except CellTimeoutError:
        return f"a cell ran longer than {cell_timeout} s, the suite's cell_timeout"
    except DeadKernelError:
        return "the kernel died; most often the machine ran out of memory"
    except NoSuchKernel as error:
        raise SuiteError("no `python3` Jupyter kernel is installed here: pip install ipykernel") from error
    return ""


def _cleaned(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without the paths that papermill notes: a temporary file, and a copy of the notebook for a path."""
    if noted := notebook.metadata.get("papermill"):
        kept = {name: value for name, value in noted.items() if name not in ("input_path", "output_path")}
        notebook.metadata["papermill"] = without_infinities(kept)  # JupyterLab reads strict JSON only
    return notebook


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the kernels started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
