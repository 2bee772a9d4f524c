"""Parameters: what a notebook takes, and what it refuses."""

from pathlib import Path
from typing import Any

import papermill
import pytest

from mmduet.errors import SuiteError
from mmduet.reports import check_parameters
from tests.reports.samples import write_notebook


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"treshold": 0.5}, "takes no parameter treshold: use one of threshold"),
        ({"threshold": "high"}, "takes threshold as float, not 'high' (str): write it like its default, 0.5"),
        ({"steps": 1.5}, "takes steps as int, not 1.5 (float)"),
        ({"steps": True}, "takes steps as int, not True (bool)"),
        ({"heads": [1]}, "takes heads as list[str], not [1] (list)"),
        ({"where": 3}, "takes where as str, not 3 (int)"),
    ],
)
def test_a_parameter_the_notebook_does_not_take_is_refused(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    path = write_notebook(tmp_path / "n.ipynb")
    with pytest.raises(SuiteError) as error:
        check_parameters(path, given)
    assert str(error.value).startswith(f"{path} {message}")


def test_parameters_that_fit_pass_and_are_described(tmp_path: Path) -> None:
    given = {"threshold": 1, "adapter": "runs/a", "heads": [], "where": "there"}
    declared = check_parameters(write_notebook(tmp_path / "n.ipynb"), given)
    assert list(declared) == ["threshold", "steps", "adapter", "heads", "where"]
    assert declared["threshold"].help == "speak where the score passes this"


def test_other_lines_in_the_parameters_cell_are_refused(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", parameters="import os\n")
    with pytest.raises(SuiteError, match="has `import os` in its `parameters` cell"):
        check_parameters(path, {})


@pytest.mark.parametrize("content", [None, "no json", "{}"])
def test_what_is_no_notebook_is_reported(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "n.ipynb"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SuiteError, match=r"n\.ipynb (does not exist|is not a Jupyter notebook)"):
        check_parameters(path, {})


def test_plain_papermill_is_refused_an_unknown_parameter_by_the_notebook(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "from mmduet.reports import check_injected\ncheck_injected()")
    with pytest.raises(papermill.PapermillExecutionError, match="this notebook takes no parameter stps: use one of st"):
        papermill.execute_notebook(
            path, None, {"stps": 4}, kernel_name="python3", language="python", progress_bar=False
        )
