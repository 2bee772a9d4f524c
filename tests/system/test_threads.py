"""A program ends well while its threads work. As a program of its own: what is tested is its end."""

import subprocess
import sys
from threading import Thread

from mmduet.system import threads
from tests.clips import write_clip

WORK = """
from threading import Event, Thread
import torch
from mmduet.system import threads

begun, over = Event(), Event()

def work():
    while not over.is_set():
        torch.nn.functional.interpolate(torch.rand(1, 3, 640, 640), size=(300, 300), mode="bicubic")
        begun.set()
    print("ended")

threads.start(Thread(target=work, daemon=True), over.set)
begun.wait()
"""
FRAMES = """
import sys
from mmduet.video.stream import StreamSource
from mmduet.video import iter_frames

left = [iter(StreamSource(sys.argv[1], fps=8, size=384, waiting=2))]
left.append(iter_frames(sys.argv[1], fps=8, size=384, batch_size=2, ahead=1))
print(len([next(frames) for frames in left]))
"""


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=60
    )


def test_a_thread_ends_before_the_program():
    done = run(WORK)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")


def test_readers_that_are_left_in_the_middle_end_too(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", frames=400)
    for _ in range(3):
        done = run(FRAMES, clip)
        assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


def test_a_thread_that_has_ended_is_forgotten():
    thread = threads.start(Thread(target=lambda: None, daemon=True), lambda: None)
    thread.join()
    assert thread not in threads._running
