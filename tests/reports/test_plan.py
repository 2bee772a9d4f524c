"""Plans: runs after the runs that they need, what is done, and mistakes that are named before anything starts."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import SuiteError
from mmduet.reports import check_suite, run_suite
from mmduet.reports.plan import Progress, in_order, make_plan, plan_lines
from mmduet.reports.resources import Resources, shown_offers
from mmduet.reports.suite import Run
from tests.reports.samples import write_notebook, write_suite

N = "notebook: notebooks/n.ipynb"
TWO_MODELS = f"""\
  - {{name: predict, {N}, matrix: {{steps: [1, 2]}}}}
  - name: evaluate
    {N}
    after: [predict]
    resources: {{gpu: 1, memory: 24GB}}
    parameters: {{where: '{{output:predict}}'}}
    matrix: {{steps: [1, 2], threshold: [0.1, 0.9]}}
"""


def suite_of(folder: Path, runs: str) -> Path:
    write_notebook(folder / "notebooks" / "n.ipynb", "x")
    return write_suite(folder, runs)


def test_a_step_is_that_of_the_same_matrix_values(tmp_path: Path) -> None:
    suite, _, runs = check_suite(suite_of(tmp_path, TWO_MODELS))
    needs = {run.name: run.needs for run in runs}
    assert needs["evaluate-steps=2-threshold=0.9"] == ("predict-steps=2",)
    assert runs[-1].parameters["where"] == "reports/out/try/predict-steps=2"
    assert runs[-1].resources.amounts == {"gpu": 1.0, "memory": 24e9}
    lines = plan_lines(make_plan(suite, tmp_path / "out", runs))
    assert lines[-1].endswith("; after predict-steps=2; needs gpu: 1, memory: 24.0 GB; to run")


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (f"  - {{name: a, {N}, after: [b]}}", "run a comes after b, which is no run: use a"),
        (f"  - {{name: a, {N}, after: [a]}}", r"come after each other \(a → a\): remove one"),
        (f"  - {{name: a, {N}, after: [b]}}\n  - {{name: b, {N}, after: [a]}}", r"\(a → b → a\)"),
        (f"  - {{name: a, {N}, parameters: {{where: '{{output:b}}'}}}}", r"run a: \{output:b\} names no single run"),
        (f"  - {{name: a, {N}, resources: {{gpus: 1}}}}", "gpus is not a key of a suite: use gpu"),
        (f"  - {{name: a, {N}, resources: {{gpu: 0}}}}", r"runs\[0\].resources.gpu is 0, but"),
        (f"  - {{name: a, {N}, resources: {{memory: 24}}}}", "give a number with a unit .* such as 24GB"),
        (f"  - {{name: logs, {N}}}", "a run is named logs, but that name is taken"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, runs: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        check_suite(suite_of(tmp_path, runs))


@st.composite
def graphs(draw: st.DrawFn) -> list[Run]:
    """Runs in any order, each after some that have a smaller number."""
    count = draw(st.integers(1, 12))
    after = [draw(st.sets(st.integers(0, number - 1))) if number else set() for number in range(count)]
    runs = [Run(str(n), "n", {}, after={str(m): (str(m),) for m in sorted(needs)}) for n, needs in enumerate(after)]
    return draw(st.permutations(runs))


@given(graphs(), st.randoms())
def test_each_run_starts_once_and_after_those_that_it_needs(runs: list[Run], random: SimpleNamespace) -> None:
    ordered = in_order(runs, Path("s"))
    steps = [SimpleNamespace(run=run) for run in ordered]
    progress, running, ended = Progress(steps), [], {}  # type: ignore[arg-type, var-annotated]
    while not progress.is_over:
        for step in progress.ready():
            assert all(ended[name] for name in step.run.needs), "only after good runs"
            running.append(step.run.name)
        name = running.pop(random.randrange(len(running)))
        assert name not in ended, "once"
        ended[name] = random.random() < 0.8
        progress.end(name, good=ended[name])
        while progress.blocked():
            pass
    assert not running
    for run in runs:
        if run.name not in ended:
            assert any(name in progress.bad for name in run.needs), "only after a failed run"


def test_a_step_that_changes_makes_the_runs_after_it_again(project: SimpleNamespace) -> None:
    project.suite.write_text(
        project.suite.read_text()
        + f"  - {{name: b, {N}, after: [a], parameters: {{steps: 2}}}}\n  - {{name: c, {N}}}\n"
    )
    assert [outcome.status for outcome in run_suite(project.suite).outcomes] == ["done", "done", "done"]
    project.suite.write_text(project.suite.read_text().replace("{output}", "elsewhere"))
    assert [outcome.status for outcome in run_suite(project.suite).outcomes] == ["done", "done", "unchanged"]


def test_runs_after_a_failed_run_wait(project: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    project.suite.write_text(project.suite.read_text() + f"  - {{name: b, {N}, after: [a]}}\n")
    project.error = "ValueError: boom (cell 1)"
    result = run_suite(project.suite)
    assert [outcome.status for outcome in result.outcomes] == ["failed", "waiting"]
    assert "1 of 2 runs failed (a), and 1 that come after them did not run" in capsys.readouterr().out
    assert len(project.ran) == 1


def test_resources_fit() -> None:
    asked = Resources.model_validate({"gpu": 2, "memory": "1.5GiB"})
    assert asked.fit({"gpu": 2, "memory": 2e9})
    assert not asked.fit({"gpu": 1, "memory": 2e9})
    assert shown_offers([{"gpu": 1.0}, {}, {}]) == "1 worker with gpu: 1; 2 workers with nothing declared"
