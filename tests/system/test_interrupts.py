"""Interrupts: Ctrl-C and SIGTERM that are held back, by the process and by those that it starts."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from mmduet.system.interrupts import Terminated, held, release, terminable

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows cannot hold signals back")

HELD = "import signal; print(sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))))"
BOTH = str(sorted([int(signal.SIGINT), int(signal.SIGTERM)]))
RELEASED = f"from mmduet.system.interrupts import release; release(); {HELD}"


@pytest.mark.parametrize("thread", [False, True], ids=["alone", "beside a thread, which receives it"])
@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_is_held_back_until_the_block_ends(
    number: signal.Signals, kind: type[BaseException], thread: bool
) -> None:
    reached, over = [], threading.Event()
    other = threading.Thread(target=over.wait)
    if thread:
        other.start()

    @held()
    def interrupted() -> None:
        os.kill(os.getpid(), number)
        reached.append("the end of the block")

    try:
        with pytest.raises(kind), terminable():
            interrupted()
    finally:
        over.set()
    assert reached == ["the end of the block"]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_an_error_in_the_block_gives_the_signals_back() -> None:
    with pytest.raises(ValueError, match="wrong"), held():
        raise ValueError("wrong")
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


@pytest.mark.parametrize(("code", "masks"), [(HELD, BOTH), (RELEASED, "[]")])
def test_processes_of_threads_of_the_block_hold_signals_back_until_they_release_them(code: str, masks: str) -> None:
    printed, begin = [], threading.Event()

    def start() -> None:
        begin.wait()
        printed.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)

    with held():
        thread = threading.Thread(target=start)
        thread.start()
    begin.set()  # after the block
    thread.join()
    assert printed == [f"{masks}\n"]


def test_release_without_held_changes_nothing() -> None:
    release()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
