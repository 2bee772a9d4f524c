"""Locks: one process at a time, and the lock of a killed process counts for nothing."""

import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmduet.errors import FileError
from mmduet.files import in_turn, locked


def test_others_wait_for_a_lock(tmp_path):
    inside_now, most = [], []

    def work(_):
        with locked(tmp_path / "cache" / "model"):
            inside_now.append(1)
            most.append(len(inside_now))
            inside_now.pop()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(6)))
    assert most == [1] * 6
    with pytest.raises(OSError, match="from the block"), locked(tmp_path / "cache" / "model"):
        raise OSError("from the block")
    assert list((tmp_path / "cache").iterdir()) == []


def test_one_process_at_a_time(tmp_path):
    target = tmp_path / "run"
    message = rf"is being written by process {os.getpid()}: wait"
    with locked(target), pytest.raises(FileError, match=message), locked(target, patience=0):
        pass
    with locked(target, patience=0):
        pass
    assert not list(tmp_path.iterdir())


def test_whoever_waits_for_a_turn_says_for_whom(tmp_path, monkeypatch):
    """And may take the file's own lock inside."""
    target, entered, told, order = tmp_path / "p.jsonl", threading.Event(), threading.Event(), []
    monkeypatch.setattr("mmduet.files.locks.print", lambda text: (order.append(text), told.set()), raising=False)

    def first():
        with in_turn(target), locked(target, patience=0):
            entered.set()
            told.wait()
            order.append("first")

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(first)
        entered.wait()
        with in_turn(target):
            order.append("second")
        done.result()
    assert order[1:] == ["first", "second"]
    assert f"another run's turn; this one waits and takes what is there then ({target}.turn is being" in order[0]
    assert f"by process {os.getpid()}" in order[0]
    assert not list(tmp_path.iterdir())


def test_the_lock_of_another_machine_is_kept_and_named(tmp_path):
    lock = tmp_path / ".run.lock"
    lock.write_text("4242\nnode-7\n")
    message = rf"process 4242 on node-7 \(if that machine is lost, delete {re.escape(str(lock))}\): wait"
    with pytest.raises(FileError, match=message), locked(tmp_path / "run", patience=0):
        pass
    assert lock.read_text() == "4242\nnode-7\n"


def test_the_lock_of_a_killed_process_counts_for_nothing(tmp_path):
    process = os.fork()
    if not process:
        with locked(tmp_path / "run"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(process, 0)
    assert (tmp_path / ".run.lock").exists()
    with locked(tmp_path / "run", patience=0):
        pass
