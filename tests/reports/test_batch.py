"""Batches: what runs, what is skipped, what stays when something goes wrong."""

import contextlib
import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup

from mmduet.errors import FileError, SuiteError
from mmduet.files import scratch_folder
from mmduet.reports import execute, run_suite, slots, worker
from mmduet.reports.cluster import SchedulerLost
from mmduet.reports.execution import Execution
from mmduet.reports.records import format_duration
from mmduet.system.interrupts import Terminated
from tests.reports.samples import HOSTILE, assert_offline, write_notebook, write_suite


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
    assert [link["href"] for link in index.select("main a")] == ["a.failed.html", "a.html"]
    project.error = ""
    assert not run_suite(project.suite).failed
    assert sorted(path.name for path in project.folder.glob("a.*")) == ["a.html", "a.ipynb", "a.json"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_report_that_is_replaced_is_kept_as_it_was(project: SimpleNamespace) -> None:
    run_suite(project.suite)
    first = contents(project.folder)
    for source in ("2", "3"):
        project.source = source
        run_suite(project.suite)
    after = contents(project.folder)
    kept = [name for name in after if name.startswith("history/a.") and after[name] in first.values()]
    assert sorted(Path(name).suffix for name in kept) == [".html", ".ipynb", ".json"], "byte by byte"
    assert len(after) == 3 + 2 * 3 + 2, "now, twice before, two indices"
    assert after["a.html"] not in first.values()
    project.error, project.source = "ValueError: boom", "4"
    run_suite(project.suite)
    assert len(list((project.folder / "history").glob("a.*.html"))) == 2, "a failure replaces nothing"


def test_a_report_whose_record_is_lost_is_kept_too(project: SimpleNamespace) -> None:
    run_suite(project.suite)
    page = (project.folder / "a.html").read_bytes()
    spoil_record(project)
    index = run_suite(project.suite).index
    [kept] = (project.folder / "history").glob("a.*.html")
    assert kept.read_bytes() == page
    history = BeautifulSoup((project.folder / "history" / "index.html").read_text(), "html.parser")
    assert kept.name in [link["href"] for link in history.select("main a")]
    assert "1 earlier report" in index.read_text()


@pytest.mark.parametrize("renamed", range(8))
@pytest.mark.parametrize("before", [0, 1])
def test_a_run_killed_while_it_renames_files_leaves_no_trace(
    project: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, before: int, renamed: int
) -> None:
    """before: reports that were made earlier and are to be kept, each once and as it was."""
    for source in range(before):
        project.source = str(source)
        run_suite(project.suite)
    old = contents(project.folder)
    project.source, calls, replace = "new", iter(range(100)), os.replace

    def killed(*paths: Path) -> None:
        if next(calls) == renamed:
            raise KeyboardInterrupt
        replace(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(slots.os, "replace", killed)
        with contextlib.suppress(KeyboardInterrupt):
            run_suite(project.suite)
    run_suite(project.suite)
    names = {path.name for path in project.folder.iterdir()}
    assert names == {"a.html", "a.ipynb", "a.json", "index.html"} | ({"history"} if before else set())
    kept = [content for name, content in contents(project.folder).items() if name.startswith("history/a.")]
    assert sorted(kept) == sorted(content for name, content in old.items() if name.startswith("a."))


def shown_index(project: SimpleNamespace) -> tuple[list[str], bool, str]:
    """The statuses in the index, whether it loads itself again, and its facts."""
    soup = BeautifulSoup((project.folder / "index.html").read_text(), "html.parser")
    statuses = [status.get_text() for status in soup.select(".runs tbody .status")]
    facts = soup.select(".facts")[0].get_text(" ", strip=True)
    return statuses, bool(soup.select("meta[http-equiv=refresh]")), facts


@pytest.mark.parametrize(
    "end", [KeyboardInterrupt(), Terminated(), FileError("no space"), SchedulerLost("gone"), RuntimeError("a defect")],
    ids=lambda end: type(end).__name__,
)  # fmt: skip
@pytest.mark.parametrize("force", [False, True])
def test_a_batch_that_ends_early_leaves_an_index_in_which_nothing_runs(
    project: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, end: BaseException, force: bool
) -> None:
    project.suite.write_text(
        project.suite.read_text() + "  - {name: b, notebook: notebooks/n.ipynb}\n"
        "  - {name: c, notebook: notebooks/n.ipynb, after: [b]}\n"
    )
    if force:
        run_suite(project.suite)
    execute_made_up, seen = worker.execute, []

    def ends_in_the_second(*given: Any, progress: Callable[[int, int], None], **more: Any) -> Execution:
        if seen:
            progress(1, 3)
            seen.append(shown_index(project))
            raise end
        seen.append(shown_index(project))
        return execute_made_up(*given, progress=progress, **more)

    with monkeypatch.context() as patch:
        patch.setattr(worker, "execute", ends_in_the_second)
        with pytest.raises(type(end)):
            run_suite(project.suite, force=force)
    assert [(statuses, again) for statuses, again, _ in seen] == [
        (["running", "queued", "queued"], True), (["running", "queued"], True),
    ]  # fmt: skip
    statuses, again, facts = shown_index(project)
    assert (statuses, again) == (["stopped", "waiting"], False)
    assert re.fullmatch(
        r"1 done 1 stopped 1 waiting .* stopped at \d\d:\d\d:\d\d UTC; the same command resumes.*", facts
    )
    assert "cell 2 of 3" in (project.folder / "index.html").read_text()
    run_suite(project.suite)
    assert shown_index(project)[:2] == ([], False), "all are done"


@pytest.mark.parametrize("before", [False, True])
def test_a_run_after_a_failed_one_is_not_run_in_the_index_whatever_report_it_has(
    project: SimpleNamespace, before: bool
) -> None:
    runs = "".join(
        f"  - {{name: {name}, notebook: notebooks/n.ipynb, after: [{needed}], parameters: {{steps: 5}}}}\n"
        for name, needed in ("ba", "cb")
    )
    project.suite.write_text(project.suite.read_text() + runs)
    if before:
        run_suite(project.suite)
    project.suite.write_text(project.suite.read_text().replace("steps: 5", "steps: 50"))
    project.error, project.source = "ValueError: boom", "2"
    for force in (False, True):
        run_suite(project.suite, force=force)
        statuses, again, facts = shown_index(project)
        assert (statuses, again) == (["failed", "not run", "not run"], False)
        assert facts.startswith("1 failed 2 not run ")
        rows = BeautifulSoup((project.folder / "index.html").read_text(), "html.parser").select(".runs tbody tr")
        steps, report = ("5", "shown: report of ") if before else ("50", "")
        for row, name, needed in zip(rows[1:], "bc", "ab", strict=True):
            text = row.get_text(" ", strip=True)
            assert text.startswith(f"{name} not run because {needed} is not done {report}".rstrip())
            assert row.select("td")[0].get_text() == steps, "that of its numbers"
    project.error = ""
    run_suite(project.suite)
    assert shown_index(project)[:2] == ([], False), "all are done"


@pytest.mark.parametrize("text", ["\ud800", "\udfff and a pair \ud83d\ude00"])
def test_half_a_surrogate_pair_is_a_question_mark_in_a_report(project: SimpleNamespace, text: str) -> None:
    notebook = nbformat.read(project.notebook, as_version=4)
    notebook.cells[0].source += json.loads(f'"{text}"')
    project.notebook.write_text(json.dumps(notebook))
    assert run_suite(project.suite).outcomes[0].status == "done"
    for path in (project.folder / "a.html", project.folder / "a.ipynb", project.folder / "a.json"):
        path.read_bytes().decode()
    assert "Part?" in (project.folder / "a.ipynb").read_text()


@pytest.mark.parametrize("written", range(11))
def test_a_full_disk_keeps_the_old_report(
    project: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    run_suite(project.suite)
    old = contents(project.folder)
    calls = iter(range(100))

    def full(descriptor: int) -> None:
        if next(calls) == written:  # three files of the history, three of the report, two indices, and their folders
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(slots.os, "fsync", full)
        with pytest.raises(FileError, match=r"cannot be written \(No space left on device\).*free some space"):
            run_suite(project.suite, force=True)
    left = contents(project.folder)
    changed = {name for name, content in left.items() if old.get(name) != content and "/" not in name}
    assert changed - {"index.html"} in (set(), {"a.html", "a.ipynb", "a.json"}), "the old report or the new one"
    kept = [content for name, content in left.items() if name.startswith("history/a.")]
    assert len(kept) in (0, 3), "the history is complete or not there, and no temporary file stays"
    assert set(kept) <= set(old.values())
    assert {name for name in left if name not in old and not name.startswith("history/")} == set()


def test_pages_of_others_stay(project: SimpleNamespace) -> None:
    """Nothing runs where a report or an index would replace a file that is none."""
    project.folder.mkdir(parents=True)
    for name in ("index.html", "a.html", "a.ipynb", "a.json", "a.failed.html", "a.failed.json"):
        (project.folder / name).write_text("{}")
        with pytest.raises(FileError, match=f"{name} is a file of another kind"):
            run_suite(project.suite)
        assert contents(project.folder) == {name: b"{}"}
        (project.folder / name).unlink()
    assert not project.ran


def test_reports_of_an_earlier_version_are_replaced(project: SimpleNamespace) -> None:
    """Its pages have no mark; the record says that they are reports."""
    run_suite(project.suite)
    for name in ("a.html", "index.html"):
        page = project.folder / name
        page.write_bytes(page.read_bytes().replace(slots.MARK, b""))
    project.source = "2"
    assert run_suite(project.suite).outcomes[0].status == "done"
    assert slots.is_page(project.folder / "a.html")
    assert slots.is_page(project.folder / "index.html")


def test_what_killed_runs_left_is_removed(project: SimpleNamespace) -> None:
    with scratch_folder(project.folder) as scratch:
        machine = scratch.name.split("-")[1]
    left = project.folder.parent / "other" / f".mmduet-{machine}-99999999-0.part"
    left.mkdir(parents=True)
    (left / "kernel-1.json").write_text("{}")
    run_suite(project.suite, output=left.parent)
    assert not [path.name for path in left.parent.iterdir() if path.name.startswith(".")]


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
from mmduet.reports import record_metrics, record_thumbnail
import numpy as np
frames = np.zeros((9, 3, 48, 64), dtype=np.uint8)
record_thumbnail(frames=frames, curves={"informative": [0, 1, 0], "<b>other": [3.0]}, marks=[0.5], level=threshold)
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
    write_notebook(tmp_path / "notebooks" / "endless.ipynb", "while True: pass")
    runs = """\
  - {name: bad, notebook: notebooks/bad.ipynb}
  - {name: dying, notebook: notebooks/dying.ipynb}
  - {name: endless, notebook: notebooks/endless.ipynb, cell_timeout: 1}
  - {name: good, notebook: notebooks/good.ipynb, parameters: {where: "{output}"}, matrix: {threshold: [0.3, 0.7]}}
"""
    result = run_suite(write_suite(tmp_path, runs))
    assert result.failed == ["bad", "dying", "endless"]
    assert "3 of 5 runs failed (bad, dying, endless)" in capsys.readouterr().out
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
    assert "ran longer than 1 s, the suite&#39;s cell_timeout" in (folder / "endless.failed.html").read_text()
    assert "the kernel died" in (folder / "dying.failed.html").read_text()

    index = result.index.read_text()
    assert_offline_index(index)
    soup = BeautifulSoup(index, "html.parser")
    assert [head.get_text() for head in soup.select(".runs thead th")] == ["Run", "threshold", "AUC", "<b>clips"]
    assert [[cell.get_text(" ", strip=True) for cell in row.select("td")] for row in soup.select(".runs tbody tr")] == [
        ["", "0.3", "0.3 0.1 – 0.9", "12"],
        ["", "0.7", "0.7 0.1 – 0.9", "12"],
    ]
    assert [link["href"] for link in soup.select(".runs tbody th a")] == [
        "good-threshold%3D0.3.html", "good-threshold%3D0.7.html",
    ]  # fmt: skip
    drawings = soup.select(".runs tbody .picture svg")
    assert [drawing["aria-label"] for drawing in drawings] == ["frames, informative, <b>other"] * 2


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


@pytest.mark.parametrize(("source", "parameters"), [("n", {}), ("n", {"steps": 21}), ("ran", {"steps": 22})])
def test_progress_counts_the_cell_that_papermill_adds(tmp_path: Path, source: str, parameters: dict[str, int]) -> None:
    path, told = write_notebook(tmp_path / "n.ipynb", "print(steps * 2)"), []
    if source == "ran":
        execute(path, path.with_stem(source), {"steps": 21})
    ran = execute(path.with_stem(source), path.with_stem("out"), parameters, progress=lambda *now: told.append(now))
    count = len(ran.notebook.cells)
    assert {cells for _, cells in told} == {count}
    assert told[-1] == (count - 1, count)


@pytest.mark.parametrize("source", ["print(steps)", "raise ValueError", "import os; os._exit(9)"])
def test_an_executed_notebook_names_no_folder_of_this_machine(tmp_path: Path, source: str) -> None:
    notebook = write_notebook(tmp_path / "n.ipynb", source)
    executed = execute(notebook, tmp_path / "out.ipynb", {"steps": 21}).notebook
    assert executed == nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert str(tmp_path) not in json.dumps(executed.metadata)
    assert "input_path" not in executed.metadata.papermill, "it would be the notebook once more"
    assert executed.metadata.papermill.parameters == {"steps": 21}


@pytest.mark.parametrize(("seconds", "text"), [(8.24, "8.2 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations_are_for_reading(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
