"""Worker processes: they end with their parent, and run no script."""

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from mmduet.errors import DuetError
from mmduet.system.workers import end_with_launcher, map_in_processes


def test_results_come_in_order():
    assert list(map_in_processes(abs, [-1, 2, -3, 4], workers=2)) == [1, 2, 3, 4]


def test_one_process_does_the_work_itself():
    assert list(map_in_processes(lambda n: os.getpid() + n, [0, 1], workers=1)) == [os.getpid(), os.getpid() + 1]
    assert list(map_in_processes(lambda n: n, [], workers=4)) == []


def test_a_process_that_dies_is_reported():
    with pytest.raises(DuetError, match="a worker process ended before its work was done"):
        list(map_in_processes(os._exit, [3, 3], workers=2))


def test_a_script_without_a_guard_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from mmduet.system.workers import map_in_processes\n"
        "print('once', list(map_in_processes(abs, [-1, -2, -3], workers=2)), flush=True)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "once [1, 2, 3]\n"), done.stderr


def test_workers_end_with_their_parent():
    """SIGKILL, while both are at work."""
    code = "import time; from mmduet.system.workers import map_in_processes as run; "
    code += "list(run(time.sleep, [0, 0, 60, 60], workers=2))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    parent = psutil.Process(process.pid)
    while sum("spawn_main" in " ".join(child.cmdline()) for child in children(parent)) < 2:
        assert process.poll() is None
    family = parent.children(recursive=True)
    process.kill()
    process.wait()
    assert psutil.wait_procs(family, timeout=30)[1] == []


def children(process):
    try:
        return [child for child in process.children() if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    except psutil.NoSuchProcess:
        return []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
def test_processes_end_with_their_launcher(monkeypatch):
    """The launcher is killed while they wait for each other; a process that is alone goes on."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    reader, writer = os.pipe()
    begun, begin = os.pipe()
    if not (launcher := os.fork()):
        if not os.fork():
            end_with_launcher()
            os.write(begin, b"1")
            signal.pause()
        os.read(begun, 1)
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(writer)
    assert os.read(reader, 1) == b"", "the pipe ends with the last process that has it"
    os.waitpid(launcher, 0)
    monkeypatch.setenv("WORLD_SIZE", "1")
    threads = threading.active_count()
    end_with_launcher()
    assert threading.active_count() == threads
