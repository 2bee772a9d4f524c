"""Suites: an error is one sentence; a matrix gives one run for each combination."""

import itertools
from pathlib import Path

import pytest

from mmduet.errors import SuiteError
from mmduet.reports import load_suite
from mmduet.reports.suite import fill_output
from tests.reports.samples import write_suite

LISTS = ", ".join(f"{y}: &{y} [*{x}, *{x}, *{x}, *{x}]" for x, y in itertools.pairwise("abcdefghij"))
BOMB = f"{{a: &a [1, 1], {LISTS}}}"


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ("  - {name: a, notebok: n.ipynb}", "runs[0].notebook is missing: add it (1 more after it)"),
        (
            "  - {name: a, notebook: n.ipynb, paramters: {}}",
            "paramters is not a key of a suite: use parameters",
        ),
        ("  - {name: a/b, notebook: n.ipynb}", "runs[0].name is 'a/b', but it names files"),
        ("  - {name: a, notebook: 3}", "runs[0].notebook is 3, but input should be a valid string"),
        ("  - {name: a, notebook: n.ipynb}\n  - {name: A, notebook: n.ipynb}", "two runs are named a"),
        ("  - {name: index, notebook: n.ipynb}", "a run is named index, but that name is taken"),
        ("  - {name: a, notebook: n, parameters: {x: 1}, matrix: {x: [2]}}", "runs[0] gives x in parameters and in"),
        ("  - {name: a, notebook: n, matrix: {x: []}}", "runs[0].matrix.x is []"),
        ("# " + "x" * 100_000, "characters; a YAML file may have 100,000: shorten it"),
        ('  - {name: a, notebook: "\\ud800"}', "line 4: half of a surrogate pair is no character"),
        ("  - {name: a, notebook: n, parameters: {x: 1, x: 2}}", "line 4: key 'x' is given twice"),
        ("  - {name: a, notebook: n", "line 5: expected"),
        ("  - a", "runs[0] is 'a', not keys and values"),
        ("  []", "runs is [], but"),
        ("  - {name: a, notebook: n, cell_timeout: 0}", "runs[0].cell_timeout is 0, but"),
        (f"  - {{name: {'a' * 200}, notebook: n}}", "too long for a file"),
        ("  - {name: a, notebook: n, parameters: {x: !!int a}}", "is no readable YAML (invalid literal for int()"),
        ("  - {name: a, notebook: n, parameters: {x: !!bool a}}", "is no readable YAML"),
        ("  - {name: a, notebook: n, parameters: {x: !!python/name:os.system a}}", "could not determine a constructor"),
        ("  - {name: a, notebook: n, parameters: {x: " + "[" * 900 + "]" * 900 + "}}", "is nested too deeply"),
        ("  - {name: a, notebook: n, parameters: &x {x: *x}}", "it stands for more than 100000 values"),
        (f"  - {{name: a, notebook: n, parameters: {BOMB}}}", "it stands for more than 100000 values"),
        ("  - {name: a, notebook: n, matrix: {x: &m [1,2,3,4,5,6,7,8,9,10,11], y: *m, z: *m}}", "more than 1000 runs"),
    ],
)
def test_a_wrong_suite_is_reported_in_one_sentence(tmp_path: Path, runs: str, message: str) -> None:
    path = write_suite(tmp_path, runs + "\n")
    with pytest.raises(SuiteError) as error:
        load_suite(path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))


def test_a_missing_suite_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"none\.yaml does not exist"):
        load_suite(tmp_path / "none.yaml")


def test_a_matrix_becomes_one_run_per_combination(tmp_path: Path) -> None:
    runs = "  - {name: a, notebook: n.ipynb, parameters: {lr: 4e-4}, matrix: {model: [x/y, z], steps: [1, 2]}}\n"
    suite = load_suite(write_suite(tmp_path, runs))
    assert [run.name for run in suite.runs] == [
        "a-model=x-y-steps=1", "a-model=x-y-steps=2", "a-model=z-steps=1", "a-model=z-steps=2",
    ]  # fmt: skip
    assert suite.runs[1].parameters == {"lr": 4e-4, "model": "x/y", "steps": 2}, "4e-4 is a number, as in Python"
    assert suite.root == tmp_path, "the root is the folder that holds notebooks/"


def test_matrix_values_that_look_alike_are_numbered(tmp_path: Path) -> None:
    suite = load_suite(write_suite(tmp_path, "  - {name: a, notebook: n, matrix: {model: [x/y, x y]}}\n"))
    assert [run.name for run in suite.runs] == ["a-model=1", "a-model=2"]


def test_defaults_can_be_shared(tmp_path: Path) -> None:
    runs = (
        "  - {name: a, notebook: n, parameters: &same {steps: 3}, cell_timeout: 60}\n"
        "  - {name: b, notebook: n, parameters: {<<: *same, lr: 1e-3}}\n"
    )
    suite = load_suite(write_suite(tmp_path, runs))
    assert suite.runs[1].parameters == {"steps": 3, "lr": 1e-3}
    assert [run.cell_timeout for run in suite.runs] == [60, None]


SLIPS = [
    *(word for at in range(6) for word in ("output"[:at] + "output"[at + 1 :], "output"[:at] + "x" + "output"[at:])),
    *("output"[:at] + "output"[at + 1] + "output"[at] + "output"[at + 2 :] for at in range(5)),
    "Output", "OUTPUT", " output ", "output ", "output:", "output: step", "outputs:step",
]  # fmt: skip


@pytest.mark.parametrize("slip", SLIPS)
def test_a_misspelt_placeholder_is_refused(slip: str) -> None:
    with pytest.raises(SuiteError) as error:
        fill_output({"video": [f"{{{slip}}}/x.mp4"]}, {"": "out/a", "step": "out/step"})
    assert str(error.value) == (
        f"'{{{slip}}}' is no placeholder: write {{output}} for the folder of the run, or {{output:NAME}} for that of a "
        "run that it comes after (known: step)"
    )


@pytest.mark.parametrize(
    "text",
    ['{"output": 1, "a": {"b": []}}', "{question} {options}", "{}", "{:04d}", "{id}.mp4", "{input}", "{model_output}",
     "f(x) = {x | x > 0}", "Say {output: the text, in words}.", "{", "}{"],
)  # fmt: skip
def test_braces_of_json_and_prompts_stay(text: str) -> None:
    assert fill_output(text, {"": "out/a"}) == text
    assert fill_output(text + "{output}", {"": "out/a"}) == text + "out/a"
