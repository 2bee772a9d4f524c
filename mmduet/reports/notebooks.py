"""Notebooks: read and checked. Nothing in them is run."""

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmduet.errors import AnnotationError, SuiteError
from mmduet.files import read_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
MAX_DEPTH = 100  # levels of lists and objects


def read_notebook(path: Path | str) -> "NotebookNode":
    """Read a notebook as format 4. Raises SuiteError if it is missing or not a notebook."""
    import nbformat  # slow to import, and a notebook that checks its own parameters does not need it

    if not os.path.exists(path):
        raise SuiteError(f"{path} does not exist: give a notebook's path, relative to the project's root")
    try:
        notebook: NotebookNode = nbformat.convert(nbformat.reader.reads(_without_surrogates(read_text(path))), 4)
    except AnnotationError as error:
        raise SuiteError(str(error)) from error
    except Exception as error:  # from JSON, and from nbformat's conversions, which check nothing
        raise SuiteError(_refusal(path, error)) from error
    check_notebook(notebook, path)
    return notebook


def check_notebook(notebook: Any, name: Path | str) -> None:
    """Raise SuiteError unless `notebook` is valid in format 4, and not nested deeper than MAX_DEPTH."""
    import nbformat

    if _is_deep(notebook):
        raise SuiteError(f"{name} is nested deeper than {MAX_DEPTH} levels: clear its outputs and save it again")
    try:
        nbformat.validate(notebook)
    except Exception as error:  # nbformat itself fails on some damaged notebooks
        raise SuiteError(_refusal(name, error)) from error


def _without_surrogates(text: str) -> str:
    """A JSON text with a question mark for each half of a surrogate pair, which no UTF-8 file can hold."""
    if not SURROGATE.search(text):
        return text
    return json.dumps(json.loads(text), ensure_ascii=False).encode(errors="replace").decode()


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _refusal(name: Path | str, error: Exception) -> str:
    reason = str(error).strip().splitlines()
    return (
        f"{name} is not a Jupyter notebook ({reason[0][:200] if reason else type(error).__name__}): give an .ipynb file"
    )
