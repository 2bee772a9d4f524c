"""Publication: what a machine without the shared folder sends arrives, and nothing leads out of the folder."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmduet.errors import DuetError
from mmduet.files import locked
from mmduet.reports.execution import Execution
from mmduet.reports.notebooks import read_notebook
from mmduet.reports.publication import LOCK, forget_logs, is_shared, pack, placed, publish, read_mark
from mmduet.reports.worker import Job, make_report


def job_of(project: SimpleNamespace) -> Job:
    return Job(
        name="a", number=1, suite="A try", root=project.suite.parents[1], notebook="notebooks/n.ipynb",
        source=project.notebook.read_text(), parameters={"where": "reports/out/try/a/x", "needed": "reports/out/try/b"},
        defaults={}, cell_timeout=None, folder=project.folder, fingerprint="f", needs=("b",),
    )  # fmt: skip


def test_the_folder_is_shared_with_whoever_sees_its_lock(project: SimpleNamespace, tmp_path: Path) -> None:
    job = job_of(project)
    with locked(project.folder / LOCK):
        mark = read_mark(project.folder)
        assert is_shared(project.folder, mark)
        assert not is_shared(tmp_path, mark)
        with placed(job, mark, {}) as (here, files):
            assert here is job
            assert files() == {}
    assert not is_shared(project.folder, ""), "no lock is no proof"


def test_a_machine_without_the_folder_gets_and_sends_files(project: SimpleNamespace) -> None:
    job = job_of(project)
    with placed(job, "another's", {"b/p.txt": b"1"}) as (here, files):
        assert here.root == job.root, "the notebook is here, too"
        assert here.folder != job.folder
        assert (here.folder / "b" / "p.txt").read_bytes() == b"1"
        assert here.parameters["where"] == f"{here.folder.as_posix()}/a/x"
        (here.folder / "a" / "sub").mkdir(parents=True)
        (here.folder / "a" / "sub" / "y").write_text("2")
        sent = files()
    assert sent == {"a/sub/y": b"2"}
    assert not here.folder.exists()
    elsewhere = replace(job, root=Path("/nowhere"), folder=Path("/nowhere/reports/out/try"))
    with placed(elsewhere, "another's", {}) as (here, _):
        assert (here.root / job.notebook).read_text() == job.source
    report = make_report(job, Execution(read_notebook(project.notebook), "", datetime.now(UTC), 1.0), "printed\n")
    slot = publish(replace(report, files=sent), project.folder)
    assert (project.folder / "a" / "sub" / "y").read_text() == "2"
    assert pack(project.folder, ["a"]) == sent
    assert (project.folder / report.record.log).read_text() == "printed\n"
    assert slot.record() == report.record
    with pytest.raises(DuetError, match="leads out of"):
        publish(replace(report, files={"../x": b""}), project.folder)


def test_a_log_stays_with_its_report(project: SimpleNamespace) -> None:
    job = job_of(project)
    for text in ("first", "second"):
        report = make_report(job, Execution(read_notebook(project.notebook), "", datetime.now(UTC), 1.0), text)
        publish(report, project.folder)
        forget_logs(project.folder)
    [now] = (project.folder / "logs").iterdir()
    [before] = (project.folder / "history" / "logs").iterdir()
    assert (now.read_text(), before.read_text()) == ("second", "first")
