"""Clusters: the workers of Dask make the same reports; what they lack, and what happens to them, is told."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from bs4 import BeautifulSoup

pytest.importorskip("distributed")
from distributed import Client, LocalCluster

from mmduet.errors import SuiteError
from mmduet.reports import remote, run_suite, scheduler
from mmduet.reports.cluster import NO_WORKER, Cluster, SchedulerLost
from mmduet.reports.execution import Execution
from mmduet.reports.notebooks import read_notebook
from mmduet.reports.pool import Ended, Noted, Started
from mmduet.reports.resources import Resources
from mmduet.reports.slots import Slot
from mmduet.reports.worker import Job, Report, make_report
from tests.reports.samples import write_notebook, write_suite

N = "notebook: notebooks/n.ipynb"


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Runs that are made up where a worker would perform them; `most` is how many ran at once."""
    state = SimpleNamespace(now=0, most=0, lock=threading.Lock(), never=threading.Event())

    def perform(job: Job, *, log: Any, progress: Any, **_: Any) -> Report:
        with state.lock:
            state.now += 1
            state.most = max(state.most, state.now)
        progress(1, 2)
        log.write(f"this is {job.name}\n")
        state.never.wait(0.1)  # room for a second run, if one could start
        with state.lock:
            state.now -= 1
        notebook = read_notebook(job.root / job.notebook)
        return make_report(job, Execution(notebook, "", datetime.now(UTC), 1.0), f"this is {job.name}\n")

    monkeypatch.setattr(remote, "perform", perform)
    return state


@pytest.fixture
def inner() -> Iterator[LocalCluster]:
    """A scheduler in this process, with one worker of two threads that has one GPU."""
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, resources={"gpu": 1.0}
    ) as cluster:
        yield cluster


def job_of(project: SimpleNamespace, name: str, number: int = 1, **more: Any) -> Job:
    return Job(
        name=name, number=number, suite="A try", root=project.suite.parents[1], notebook="notebooks/n.ipynb",
        source=project.notebook.read_text(), parameters={}, defaults={}, cell_timeout=None, folder=project.folder,
        fingerprint="f", **more,
    )  # fmt: skip


def test_two_runs_never_share_a_gpu(made_up: SimpleNamespace, inner: LocalCluster, project: SimpleNamespace) -> None:
    with Client(inner, set_as_default=False) as client, Cluster(client, name="x") as pool:
        for number, name in enumerate("abc"):
            pool.submit(job_of(project, name, number, resources=Resources(gpu=1)))
        events: list[Any] = []
        while sum(isinstance(event, Ended) for event in events) < 3:
            events += pool.events()
    assert made_up.most == 1
    assert {event.name: event.report.record.run for event in events if isinstance(event, Ended)} == {
        "a": "a", "b": "b", "c": "c",
    }  # fmt: skip
    assert [event.attempt for event in events if isinstance(event, Started)] == [1, 1, 1]


def test_what_no_worker_has_is_told_at_once(inner: LocalCluster, project: SimpleNamespace) -> None:
    with Client(inner, set_as_default=False) as client, Cluster(client, name="x") as pool:
        with pytest.raises(SuiteError, match="has 2 threads, and each would run a notebook: start"):
            pool.check([])
        pool._workers = lambda: {"w": {"nthreads": 1, "resources": {"gpu": 1.0}}}  # type: ignore[method-assign]
        pool.check([job_of(project, "a", resources=Resources(gpu=1))])
        message = r"run b needs gpu: 2, which no worker has \(1 worker with gpu: 1\): start one"
        with pytest.raises(SuiteError, match=message):
            pool.check([job_of(project, "b", resources=Resources(gpu=2))])


def wait_for_the_end(pool: Cluster) -> None:
    for _ in range(20):
        list(pool.events())


def test_runs_wait_for_workers_and_end_with_the_scheduler(made_up: SimpleNamespace, project: SimpleNamespace) -> None:
    with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:
        client = Client(cluster, set_as_default=False, timeout=2)
        with Cluster(client, name="tcp://x", close=lambda: client.close(timeout=2)) as pool:
            pool.submit(job_of(project, "a"))
            assert [*pool.events(), *pool.events()] == [Noted(NO_WORKER)], "once"
            cluster.scale(1)
            events: list[Any] = []
            while not any(isinstance(event, Ended) for event in events):
                events += pool.events()
            assert Noted("workers are present") in events
            cluster.scale(0)
            pool.submit(job_of(project, "b"))
            cluster.close()
            with pytest.raises(SchedulerLost, match="tcp://x has ended or cannot be reached: start it, and run"):
                wait_for_the_end(pool)


def started(suite: Path, output: Path) -> subprocess.Popen[str]:
    """`mmduet report` on two workers, in a process group of its own as in a terminal."""
    words = [sys.executable, "-m", "mmduet", "report", str(suite), "--workers", "2", "--output", str(output)]
    pipe: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, start_new_session=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}, **pipe)


def until(process: subprocess.Popen[str], found: Callable[[], Any]) -> Any:
    """What `found` gives, once it is something; fails when the process ends before."""
    while not (something := found()):
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
        assert process.poll() is None
    return something


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no process groups")
@pytest.mark.parametrize("moment", ["workers start", "runs"])
def test_ctrl_c_in_a_terminal_ends_in_one_sentence(tmp_path: Path, moment: str) -> None:
    """The terminal sends it to the workers as well."""
    writing = "import signal\nopen(where, 'w').write(str(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    write_notebook(tmp_path / "notebooks" / "n.ipynb", writing, "signal.pause()")
    runs = [f"  - {{name: {name}, {N}, parameters: {{where: {tmp_path}/{name}}}}}\n" for name in "ab"]
    suite = write_suite(tmp_path, "".join(runs))
    with started(suite, tmp_path / "out") as command:
        whole = psutil.Process(command.pid)
        if moment == "runs":
            until(command, lambda: all((tmp_path / name).exists() for name in "ab"))
        # two workers, and multiprocessing's tracker of resources
        family = until(command, lambda: found if len(found := whole.children(recursive=True)) >= 3 else [])
        os.killpg(command.pid, signal.SIGINT)
        _, errors = command.communicate(timeout=120)
    kept = "the reports made so far are kept, and the same command makes the others."
    assert errors == f"mmduet: stopped; {kept}\n"
    assert command.returncode == 130
    assert psutil.wait_procs(family, timeout=30)[1] == []
    if moment == "runs":
        soup = BeautifulSoup((tmp_path / "out" / "index.html").read_text(), "html.parser")
        assert [status.get_text() for status in soup.select(".runs .status")] == ["stopped"] * 2
        assert all((tmp_path / "out" / str(link["href"])).is_file() for link in soup.select(".runs a[href^=logs]"))
        assert [(tmp_path / name).read_text() for name in "ab"] == ["set()"] * 2, "kernels hold no signal back"


@pytest.mark.skipif(find_spec("dask_jobqueue") is None, reason="needs dask-jobqueue")
@pytest.mark.parametrize("jobs", ["2", "{minimum: 0, maximum: 2}"])
@pytest.mark.parametrize(("kind", "command"), [("slurm", "sbatch"), ("pbs", "qsub"), ("oar", "oarsub")])
@pytest.mark.parametrize("refuses", [True, False])
def test_jobs_that_cannot_be_submitted_end_the_suite(
    project: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    jobs: str,
    kind: str,
    command: str,
    refuses: bool,
) -> None:
    """The engine's command is missing, or refuses the job."""
    (tmp_path / "bin").mkdir()
    if refuses:
        (tmp_path / "bin" / command).write_text("#!/bin/sh\necho invalid partition >&2\nexit 1\n")
        (tmp_path / "bin" / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    (tmp_path / "cluster.yaml").write_text(
        f"kind: {kind}\njobs: {jobs}\noptions: {{cores: 1, memory: 1GB, "
        "scheduler_options: {host: 127.0.0.1, dashboard_address: '127.0.0.1:0'}}\n"
    )
    reason = "invalid partition" if refuses else f"{command} is not on this machine"
    with pytest.raises(SuiteError, match=rf"cluster\.yaml can be started \({reason}\): run this on a machine that"):
        run_suite(project.suite, cluster=tmp_path / "cluster.yaml")
    assert not [record for record in caplog.records if record.exc_info], "no traceback"
    assert not project.ran


def test_no_message_of_dask_reaches_the_terminal() -> None:
    scheduler._dask()
    loggers = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "distributed"]
    assert "distributed.client" in loggers
    assert not [name for name in loggers if logging.getLogger(name).isEnabledFor(logging.ERROR)]


def test_workers_that_are_killed_or_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On two real workers, of which one has the only GPU. Other runs go on, and a run is tried at most twice."""
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 3_000_000_000)
    notebooks = tmp_path / "notebooks"
    write_notebook(notebooks / "n.ipynb", "print('this is', where)\nopen(where + '.txt', 'w').write('x')")
    tried = "open('tried', 'a').write('x')\nimport os, signal\nos.kill(os.getppid(), signal.SIGKILL)\ninput()"
    write_notebook(notebooks / "killer.ipynb", tried)
    write_notebook(
        notebooks / "hog.ipynb", "held = b'x' * 2_000_000_000", "import threading\nthreading.Event().wait(60)"
    )
    suite = write_suite(
        tmp_path,
        f"  - {{name: good, {N}, resources: {{gpu: 1}}, parameters: {{where: good}}}}\n"
        "  - {name: killer, notebook: notebooks/killer.ipynb}\n"
        "  - {name: hog, notebook: notebooks/hog.ipynb}\n"
        f"  - {{name: never, {N}, after: [killer]}}\n",
    )
    monkeypatch.setattr(scheduler, "own_gpus", lambda: ["0"])
    result = run_suite(suite, workers=2)
    found = {outcome.name: outcome for outcome in result.outcomes}
    assert {name: outcome.status for name, outcome in found.items()} == {
        "good": "done", "killer": "failed", "hog": "failed", "never": "waiting",
    }  # fmt: skip
    assert (tmp_path / "tried").read_text() == "xx", "twice"
    assert "tried 2 times, and each time its worker ended" in found["killer"].error
    assert "out of memory: its processes used " in found["hog"].error
    assert found["hog"].error in BeautifulSoup(found["hog"].page.read_text(), "html.parser").get_text()
    folder = result.index.parent
    record = Slot(folder, "good").record()
    assert record is not None
    assert "this is good" in (folder / record.log).read_text()
    assert record.log in (folder / "good.html").read_text()
    failed = Slot(folder, "killer.failed").record()
    assert failed is not None
    assert "its worker ended; the run is tried again" in (folder / failed.log).read_text()
    assert not [path for path in folder.rglob("*") if path.name.startswith(".") or "running" in path.name]
    assert 'http-equiv="refresh"' not in result.index.read_text(), "the suite has ended"


@pytest.mark.parametrize("given", [{"workers": 2, "scheduler": "x"}, {"scheduler": "x", "cluster": "y"}])
def test_one_kind_of_cluster_at_a_time(project: SimpleNamespace, given: dict[str, Any]) -> None:
    with pytest.raises(SuiteError, match="exclude each other: give one of them"):
        run_suite(project.suite, **given)


def test_without_dask_the_message_says_what_to_install(
    project: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(SuiteError, match=r"pip install 'mmduet-workbench\[cluster\]'"):
        run_suite(project.suite, workers=2)
    assert run_suite(project.suite).outcomes[0].status == "done"


def test_a_scheduler_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "CONNECT", 0.2)
    with pytest.raises(SuiteError, match=r"tcp://127.0.0.1:9 does not answer \(.*\): start it"):
        scheduler.connect("tcp://127.0.0.1:9")
