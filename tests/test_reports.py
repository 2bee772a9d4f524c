"""Suites, their parameters, what runs and what is skipped, and pages that run nothing and fetch nothing."""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pandas as pd
import papermill
import plotly.graph_objects as go
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from plotly.offline import get_plotlyjs

from mmduet.errors import DuetError, SuiteError
from mmduet.reports import batch, check_parameters, execute, export_html, files, load_suite, metrics, outputs, run_suite
from mmduet.reports.execution import Execution
from mmduet.reports.records import format_duration

HOSTILE = "<img src=x onerror=boom()></script><!--<script>boom()</script>\u2028 & <b>"
PARAMETERS = """\
threshold: float = 0.5  # speak where the score passes this
steps: int = 3
adapter: str | None = None  # a folder
heads: list[str] = ["informative"]
where = "here"
"""


def write_notebook(path: Path, *sources: str, parameters: str = PARAMETERS) -> Path:
    """A notebook with a title, a `parameters` cell and the code cells `sources`, without kernel metadata."""
    declaring = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell(f"# About {path.stem}\n\n## Part"), declaring, *map(new_code_cell, sources)]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)
    return path


def write_suite(root: Path, runs: str, **head: str) -> Path:
    """A suite in root/suites, beside root/notebooks."""
    (root / "suites").mkdir(parents=True, exist_ok=True)
    (root / "notebooks").mkdir(exist_ok=True)
    keys = {"name": "try", "title": "A try", **head}
    path = root / "suites" / "try.yaml"
    path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in keys.items()) + f"runs:\n{runs}")
    return path


# --- suites -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        ("  - {name: a, notebok: n.ipynb}", "runs[0].notebook is missing: add it (1 more after it)"),
        ("  - {name: a, notebook: n.ipynb, paramters: {}}", "runs[0].paramters is no key of a suite: use parameters"),
        ("  - {name: a/b, notebook: n.ipynb}", "runs[0].name is 'a/b', but it names files"),
        ("  - {name: a, notebook: 3}", "runs[0].notebook is 3, but input should be a valid string"),
        ("  - {name: a, notebook: n.ipynb}\n  - {name: A, notebook: n.ipynb}", "two runs are named a"),
        ("  - {name: index, notebook: n.ipynb}", "a run is named index, but that name is taken"),
        ("  - {name: a, notebook: n, parameters: {x: 1}, matrix: {x: [2]}}", "runs[0] gives x in parameters and in"),
        ("  - {name: a, notebook: n, matrix: {x: []}}", "runs[0].matrix.x is []"),
        ("  - {name: a, notebook: n, parameters: {x: 1, x: 2}}", "line 4: key 'x' stands twice"),
        ("  - {name: a, notebook: n", "line 5: expected"),
        ("  - a", "runs[0] is 'a', not keys and values"),
        ("  []", "runs is [], but"),
    ],
)
def test_a_wrong_suite_is_told_in_one_sentence(tmp_path: Path, runs: str, told: str) -> None:
    path = write_suite(tmp_path, runs + "\n")
    with pytest.raises(SuiteError) as error:
        load_suite(path)
    assert told in str(error.value)
    assert str(error.value).startswith(str(path))


def test_a_missing_suite_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"none\.yaml is not there"):
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


# --- parameters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"treshold": 0.5}, "takes no parameter treshold: use one of threshold"),
        ({"threshold": "high"}, "takes threshold as float, not 'high' (str): write it like its default, 0.5"),
        ({"steps": 1.5}, "takes steps as int, not 1.5 (float)"),
        ({"steps": True}, "takes steps as int, not True (bool)"),
        ({"heads": [1]}, "takes heads as list[str], not [1] (list)"),
        ({"where": 3}, "takes where as str, not 3 (int)"),
    ],
)
def test_a_parameter_the_notebook_does_not_take_is_refused(tmp_path: Path, given: dict[str, Any], told: str) -> None:
    path = write_notebook(tmp_path / "n.ipynb")
    with pytest.raises(SuiteError) as error:
        check_parameters(path, given)
    assert str(error.value).startswith(f"{path} {told}")


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
def test_what_is_no_notebook_is_told(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "n.ipynb"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SuiteError, match=r"n\.ipynb is (not there|no Jupyter notebook)"):
        check_parameters(path, {})


def test_plain_papermill_is_refused_an_unknown_parameter_by_the_notebook(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "from mmduet.reports import check_injected\ncheck_injected()")
    with pytest.raises(papermill.PapermillExecutionError, match="this notebook takes no parameter stps: use one of st"):
        papermill.execute_notebook(
            path, None, {"stps": 4}, kernel_name="python3", language="python", progress_bar=False
        )


# --- metrics ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["0.9", None, True, (0.1, 0.2), (0.1, "a", 0.2)])
def test_a_metric_is_a_number_or_three(value: object) -> None:
    with pytest.raises(DuetError, match="metric 'AUC' is"):
        metrics.Metric.of("AUC", value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.98765, "0.988"), (1.0, "1.000"), (3, "3"), (1312, "1,312"), (52.456, "52.46"), (1234.5, "1,234.5"),
     (0.00001, "1.0e-05"), (0.0, "0.000"), (float("nan"), "–"), (-0.25, "-0.250")],
)  # fmt: skip
def test_numbers_are_rounded_for_reading(value: float, text: str) -> None:
    assert metrics.Metric.of("x", value).text == text


def test_of_one_name_the_last_metric_counts() -> None:
    def cell(value: float) -> Any:
        rows = [metrics.Metric.of("AUC", (value, 0.1, 0.9))._asdict()]
        output = new_output("display_data", data={metrics.MIMETYPE: {"metrics": rows, "caption": ""}})
        return new_code_cell("x", outputs=[output])

    found = metrics.recorded_metrics(new_notebook(cells=[cell(0.2), cell(0.5)]))
    assert [(metric.value, metric.interval) for metric in found] == [(0.5, "0.100 – 0.900")]


# --- outputs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("0%|  | 0/2\r 50%|# | 1/2\r100%|##| 2/2\n", "100%|##| 2/2"),
        ("a\r\nb\n", "a\nb"),
        ("outer 0\n\rinner 1\x1b[A\router 1\n\rinner 2\x1b[A\n", "outer 1\ninner 2"),
        ("plain\nlines", "plain\nlines"),
    ],
)
def test_a_progress_bar_is_left_in_its_last_state(printed: str, shown: str) -> None:
    assert outputs.stream_text(printed) == shown


def test_displayed_html_loses_scripts_handlers_and_remote_addresses() -> None:
    source = (
        '<p onclick="x()" style="background: url(https://a.b/c.png); color: red">text</p><script>x()</script>'
        '<link href="https://a.b/c.css"><img src="//a.b/c.png"><video src="data:video/mp4;base64,AA"></video>'
        '<iframe src="https://a.b" srcdoc="&lt;script src=https://a.b&gt;&lt;/script&gt;&lt;script&gt;1 &lt; 2'
        '&lt;/script&gt;"></iframe><a href="javascript:x()">link</a>'
    )
    soup = BeautifulSoup(outputs.inert_html(source, "NONCE"), "html.parser")
    assert {tag.name for tag in soup.find_all()} == {"p", "img", "video", "iframe", "a"}
    assert [tag.attrs for tag in soup.find_all(["img", "a"])] == [{}, {}]
    assert "https:" not in str(soup)
    assert soup.p is not None
    assert "color: red" in str(soup.p["style"])
    assert soup.iframe is not None
    assert soup.iframe["srcdoc"] == '<script nonce="NONCE">1 < 2</script>'


def test_pandas_numbers_stand_right_and_texts_left() -> None:
    html = pd.DataFrame({"n": [1.5], "text": ["a"]}).to_html()
    soup = BeautifulSoup(outputs.inert_html(html, ""), "html.parser")
    assert [cell.get("class") for cell in soup.select("td")] == [["number"], None]


# --- pages --------------------------------------------------------------------------------------------


def hostile_notebook() -> Any:
    """HOSTILE in every place where text of a model or an annotation may come to stand."""
    figure = json.loads(go.Figure(go.Scatter(x=[1, 2], y=[2, 1], name=HOSTILE), layout={"title": HOSTILE}).to_json())
    rows = [metrics.Metric.of(HOSTILE, 0.5)._asdict()]
    displayed = [
        {"application/vnd.plotly.v1+json": figure, "text/html": "never shown"},
        {"application/vnd.plotly.v1+json": figure},
        {"text/html": pd.DataFrame({HOSTILE: [HOSTILE]}).to_html()},
        {
            metrics.MIMETYPE: {"metrics": rows, "caption": ""},
            "text/html": metrics._table([metrics.Metric(**rows[0])], ""),
        },
        {"text/markdown": HOSTILE},
        {"text/plain": HOSTILE},
        {"image/svg+xml": f"<svg>{HOSTILE}</svg>", "text/plain": HOSTILE},
    ]
    code = new_code_cell(f"print({HOSTILE!r})")
    code.outputs = [new_output("display_data", data=data) for data in displayed]
    code.outputs.append(new_output("stream", name="stdout", text=HOSTILE))
    code.outputs.append(new_output("error", ename="E", evalue=HOSTILE, traceback=[HOSTILE]))
    prose = new_markdown_cell(f"# {HOSTILE}\n\n## {HOSTILE}\n\n{HOSTILE}\n\n![{HOSTILE}](https://a.b/c.png)")
    return new_notebook(cells=[prose, code])


def test_hostile_text_shows_as_text_and_runs_nothing() -> None:
    soup = BeautifulSoup(export_html(hostile_notebook()), "html.parser")
    assert not [tag for tag in soup.find_all() if any(name.startswith("on") for name in tag.attrs)]
    assert not soup.find_all("img", src="x")
    scripts = soup.find_all("script")
    assert [script.get("type") for script in scripts] == ["application/json", "application/json", None, None]
    assert json.loads(scripts[0].get_text())["layout"]["title"]["text"] == HOSTILE
    title = soup.select_one("h1")
    assert title is not None
    assert title.get_text() == HOSTILE
    shown = [tag.get_text() for tag in soup.select("pre, td, dt, .failure p, p")]
    assert sum("onerror=boom()" in text for text in shown) >= 7


def assert_offline(page: str) -> None:
    """No script, style, font or picture of the page is fetched."""
    soup = BeautifulSoup(page, "html.parser")
    assert not soup.find_all("link")
    assert not [tag for tag in soup.find_all(src=True) if not tag["src"].startswith("data:")]
    style = "".join(tag.get_text() for tag in soup.find_all("style"))
    assert not re.search(r"@import|url\(|https?:", style)
    policy = soup.find("meta", {"http-equiv": "Content-Security-Policy"})
    assert policy is not None
    assert str(policy["content"]).startswith("default-src 'none'")


def test_plotly_is_in_a_page_once_and_only_with_a_plot() -> None:
    page = export_html(hostile_notebook())
    assert_offline(page)
    assert page.count(get_plotlyjs()) == 1
    assert len(page) < len(get_plotlyjs()) + 60_000
    plain = export_html(new_notebook(cells=[new_markdown_cell("# Words")]))
    assert_offline(plain)
    assert len(plain) < 40_000


def test_a_page_tells_parameters_contents_and_folds_code(tmp_path: Path) -> None:
    notebook = nbformat.read(write_notebook(tmp_path / "n.ipynb", "1 + 1"), as_version=4)
    notebook.metadata["papermill"] = {"parameters": {"steps": 8}}
    soup = BeautifulSoup(export_html(notebook), "html.parser")
    given = soup.select_one(".parameters .given")
    assert given is not None
    assert given.get_text(" ", strip=True) == "steps 8 default 3"
    assert [link["href"] for link in soup.select("nav a")] == ["#part"]
    assert [fold.get_text(" ", strip=True) for fold in soup.select("details.code")] == ["code 1 + 1"]


# --- running ------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A suite of one notebook whose run is made up; `ran` counts, `error` is what the next run ends in."""
    state = SimpleNamespace(
        suite=write_suite(tmp_path, "  - {name: a, notebook: notebooks/n.ipynb, parameters: {where: '{output}'}}\n"),
        notebook=write_notebook(tmp_path / "notebooks" / "n.ipynb", "x"),
        folder=tmp_path / "reports" / "out" / "try",
        ran=[],
        error="",
    )

    def made_up(notebook: Path, output: Path, parameters: dict[str, Any], *, folder: Path) -> Execution:
        state.ran.append(parameters)
        return Execution(nbformat.read(notebook, as_version=4), state.error, datetime.now(UTC), 1.0)

    monkeypatch.setattr(batch, "execute", made_up)
    monkeypatch.setattr("mmduet.reports.provenance.source_hash", lambda: state.source)
    state.source = "1"
    return state


def test_a_run_that_is_done_and_unchanged_is_skipped(project: SimpleNamespace) -> None:
    assert run_suite(project.suite).outcomes[0].status == "done"
    assert project.ran == [{"where": "reports/out/try/a"}], "{output} is the run's folder, as seen from the root"
    assert run_suite(project.suite).outcomes[0].status == "unchanged"
    assert len(project.ran) == 1
    run_suite(project.suite, force=True)
    assert len(project.ran) == 2


def change_notebook(project: SimpleNamespace) -> None:
    write_notebook(project.notebook, "y")


def change_parameters(project: SimpleNamespace) -> None:
    project.suite.write_text(project.suite.read_text().replace("{output}", "elsewhere"))


def change_package(project: SimpleNamespace) -> None:
    project.source = "2"


def lose_report(project: SimpleNamespace) -> None:
    (project.folder / "a.html").unlink()


def spoil_record(project: SimpleNamespace) -> None:
    (project.folder / "a.json").write_text("{")


@pytest.mark.parametrize("change", [change_notebook, change_parameters, change_package, lose_report, spoil_record])
def test_a_run_is_made_again_after_a_change(
    project: SimpleNamespace, change: Callable[[SimpleNamespace], None]
) -> None:
    run_suite(project.suite)
    change(project)
    assert run_suite(project.suite).outcomes[0].status == "done"
    assert len(project.ran) == 2


def test_a_new_title_makes_the_page_anew_without_a_run(project: SimpleNamespace) -> None:
    run_suite(project.suite)
    project.suite.write_text(project.suite.read_text().replace("A try", HOSTILE.replace("\u2028", "")))
    assert run_suite(project.suite).outcomes[0].status == "unchanged"
    for name in ("a.html", "index.html"):
        soup = BeautifulSoup((project.folder / name).read_text(), "html.parser")
        assert "onerror=boom()" in soup.get_text()
        assert not soup.find_all("img")


def test_a_failed_run_leaves_the_good_report_until_it_succeeds(project: SimpleNamespace) -> None:
    run_suite(project.suite)
    good = (project.folder / "a.html").read_text()
    project.error, project.source = "ValueError: boom (cell 1)", "2"
    result = run_suite(project.suite)
    assert result.failed == ["a"]
    assert (project.folder / "a.html").read_text() == good
    assert "ValueError: boom" in (project.folder / "a.failed.html").read_text()
    index = BeautifulSoup(result.index.read_text(), "html.parser")
    assert [link["href"] for link in index.select("td a, th a")] == ["a.failed.html", "a.html"]
    project.error = ""
    assert not run_suite(project.suite).failed
    assert sorted(path.name for path in project.folder.iterdir()) == ["a.html", "a.ipynb", "a.json", "index.html"]


@pytest.mark.parametrize("written", range(4), ids=["notebook", "page", "record", "index"])
def test_a_full_disk_keeps_the_old_report(
    project: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    run_suite(project.suite)
    before = {path.name: path.read_bytes() for path in project.folder.iterdir()}
    calls = iter(range(100))

    def full(descriptor: int) -> None:
        if next(calls) == written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(SuiteError, match=r"could not be written \(No space left on device\).*free some space"):
            run_suite(project.suite, force=True)
    assert {path.name for path in project.folder.iterdir()} == set(before), "no temporary file stays"
    changed = {path.name for path in project.folder.iterdir() if path.read_bytes() != before[path.name]}
    assert changed <= (set() if written < 3 else {"a.html", "a.ipynb", "a.json"})


def test_a_file_over_the_limit_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("old")
    code = (
        "import resource, pathlib, sys; from mmduet.reports.files import write_whole\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_whole({pathlib.Path(sys.argv[1]): 'new' * 1000})"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert f"{path} could not be written (File too large)" in ended.stderr
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.html", "old")]


def test_all_parameters_are_checked_before_anything_runs(project: SimpleNamespace) -> None:
    project.suite.write_text(
        project.suite.read_text() + "  - {name: b, notebook: notebooks/n.ipynb, matrix: {stps: [1]}}\n"
    )
    with pytest.raises(
        SuiteError, match=r"try\.yaml, run b-stps=1: .*n\.ipynb takes no parameter stps: use one of steps"
    ):
        run_suite(project.suite)
    assert not project.ran
    assert not project.folder.exists()


RECORDING = """
from mmduet.reports import record_metrics
import plotly.graph_objects as go, sys, os
record_metrics({"AUC": (threshold, 0.1, 0.9), "<b>clips": 12}, caption="95 % intervals")
open(where + "/made.txt", "w").close()
print(os.getcwd())
go.Figure(go.Scatter(x=[1, 2], y=[2, 1]))
"""


def test_a_suite_runs_goes_on_after_failures_and_tells_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_notebook(tmp_path / "notebooks" / "good.ipynb", RECORDING)
    write_notebook(tmp_path / "notebooks" / "bad.ipynb", "print('so far')", f"raise ValueError({HOSTILE!r})")
    write_notebook(tmp_path / "notebooks" / "dying.ipynb", "import os; os._exit(9)")
    runs = """\
  - {name: bad, notebook: notebooks/bad.ipynb}
  - {name: dying, notebook: notebooks/dying.ipynb}
  - {name: good, notebook: notebooks/good.ipynb, parameters: {where: "{output}"}, matrix: {threshold: [0.3, 0.7]}}
"""
    result = run_suite(write_suite(tmp_path, runs))
    assert result.failed == ["bad", "dying"]
    assert "2 of 4 runs failed (bad, dying)" in capsys.readouterr().out
    folder = result.index.parent
    assert folder == tmp_path / "reports" / "out" / "try"
    assert (folder / "good-threshold=0.3" / "made.txt").is_file()

    good = (folder / "good-threshold=0.7.html").read_text()
    assert_offline(good)
    soup = BeautifulSoup(good, "html.parser")
    assert len(soup.select(".plot")) == 1
    assert str(tmp_path) in soup.select(".printed")[0].get_text(), "a notebook runs in the project's root"
    footer = soup.footer.get_text(" ") if soup.footer else ""
    assert "papermill notebooks/good.ipynb good.out.ipynb -r where" in footer

    bad = BeautifulSoup((folder / "bad.failed.html").read_text(), "html.parser").get_text()
    assert "so far" in bad
    assert "The run ended early: ValueError: <img src=x" in bad
    assert "An Exception was encountered" not in bad, "papermill's own marks are HTML in Markdown"
    assert "the kernel died" in (folder / "dying.failed.html").read_text()

    index = result.index.read_text()
    assert_offline_index(index)
    heads = [cell.get_text() for cell in BeautifulSoup(index, "html.parser").select("table.runs")[2].select("thead th")]
    assert heads == ["Run", "threshold", "AUC", "<b>clips", "Took", "Made", "Status"]
    rows = BeautifulSoup(index, "html.parser").select("table.runs")[2].select("tbody tr")
    assert [[cell.get_text(" ") for cell in row.select("td")][:3] for row in rows] == [
        ["0.3", "0.300 0.100 – 0.900", "12"],
        ["0.7", "0.700 0.100 – 0.900", "12"],
    ]


def assert_offline_index(page: str) -> None:
    assert_offline(page)
    assert "<script" not in page
    assert len(page) < 300_000


def test_execute_checks_runs_and_writes(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "n.ipynb", "print(steps * 2)")
    with pytest.raises(SuiteError, match="takes no parameter stps"):
        execute(notebook, tmp_path / "out.ipynb", {"stps": 2})
    execution = execute(notebook, tmp_path / "odd{name}.ipynb", {"steps": 21})
    assert not execution.error
    assert nbformat.read(tmp_path / "odd{name}.ipynb", as_version=4).cells[-1].outputs[0].text == "42\n"


@pytest.mark.parametrize(("seconds", "text"), [(8.24, "8.2 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations_are_for_reading(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
