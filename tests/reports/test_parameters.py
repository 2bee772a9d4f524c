"""Parameters: what a notebook takes, and what it refuses."""

import json
import math
from pathlib import Path
from typing import Any

import papermill
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook
from papermill.translators import PythonTranslator

from mmduet.errors import SuiteError
from mmduet.reports import check_parameters, run_suite
from mmduet.reports.parameters import declared_parameters
from tests.reports.samples import PARAMETERS, write_notebook, write_suite


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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=9,
)


@given(st.dictionaries(st.sampled_from(["threshold", "a", "b"]), JSON, min_size=1))
def test_whatever_papermill_injects_is_read_as_it_was_given(values: dict[str, Any]) -> None:
    cell = new_code_cell(PythonTranslator.codify(values), metadata={"tags": ["parameters"]})
    declared = declared_parameters(new_notebook(cells=[cell]), "papermill's cell")
    read = {name: parameter.default for name, parameter in declared.items()}
    assert repr(read) == repr(values), "repr, since NaN equals nothing"


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_infinities_pass_a_run_and_its_files_stay_strict_json(tmp_path: Path, value: float) -> None:
    source = "from mmduet.reports import check_injected; check_injected()"
    declared = f"{PARAMETERS}more = {{}}"
    write_notebook(tmp_path / "notebooks" / "n.ipynb", source, "print(threshold)", parameters=declared)
    text = f".{value}".replace(".-", "-.")
    given = f"{{threshold: {text}, more: {{deep: [{text}]}}}}"
    result = run_suite(write_suite(tmp_path, f"  - {{name: a, notebook: notebooks/n.ipynb, parameters: {given}}}\n"))
    assert not result.failed, result.outcomes[0].error

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    record, notebook = (
        json.loads(result.outcomes[0].page.with_suffix(suffix).read_text(), parse_constant=refuse)
        for suffix in (".json", ".ipynb")
    )
    assert record["parameters"] == {"threshold": str(value), "more": {"deep": [str(value)]}}
    assert notebook["cells"][-1]["outputs"][0]["text"] == [f"{value}\n"]


@pytest.mark.parametrize("text", ["float(x)", "float('x')", "int('3')", "float('1', 2)", "f('inf')", "[float]"])
def test_other_calls_are_no_literals(tmp_path: Path, text: str) -> None:
    with pytest.raises(SuiteError, match=r"in its `parameters` cell, where each line is `name: type = literal"):
        check_parameters(write_notebook(tmp_path / "n.ipynb", parameters=f"x = {text}"), {})


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
