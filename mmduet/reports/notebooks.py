"""Notebooks: read and checked here, before anything else looks into them. Nothing in them is run."""

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
MAX_DEPTH = 100  # of lists and objects within each other


def read_notebook(path: Path | str) -> "NotebookNode":
    """Read a notebook as format 4; SuiteError if it is missing or is none."""
    import nbformat  # heavy, and a notebook that checks its own parameters does without

    if not os.path.exists(path):
        raise SuiteError(f"{path} is not there: give a notebook's path, from the project's root")
    try:
        notebook = nbformat.convert(nbformat.reader.reads(_without_surrogates(read_text(path))), 4)
    except AnnotationError as error:
        raise SuiteError(str(error)) from error
    except Exception as error:  # of JSON, and of nbformat's conversions, which look at nothing before they use it
        raise SuiteError(_is_none(path, error)) from error
    check_notebook(notebook, path)
    return notebook


def check_notebook(notebook: Any, name: Path | str) -> None:
    """Raise SuiteError unless `notebook` is valid in format 4, and not nested deeper than MAX_DEPTH."""
    import nbformat

    if _is_deep(notebook):
        raise SuiteError(f"{name} is nested deeper than {MAX_DEPTH} levels: clear its outputs and save it again")
    try:
        nbformat.validate(notebook)
    except Exception as error:  # nbformat itself trips over some of what it is to find
        raise SuiteError(_is_none(name, error)) from error


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


def _is_none(name: Path | str, error: Exception) -> str:
    reason = str(error).strip().splitlines()
    return f"{name} is no Jupyter notebook ({reason[0][:200] if reason else type(error).__name__}): give an .ipynb file"
