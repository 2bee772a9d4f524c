"""How evenly processes share the questions of a prediction whose videos differ much in length.

    python perf/shares.py [--processes 4] [--videos 24] [--rounds 1] [--frame-ms 10]

Each process answers by waiting for a time proportional to the frames of a video, so two cores can stand for many GPUs.
The baseline gives each process every n-th question. Both run in turn. The script prints the slowest process's time over
the mean, for both, and checks that the file equals that of one process. The status is 1 if the ratio is above 1.15 or
the file differs.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median

import campaign  # noqa: F401  (first: it sets the environment)

# isort: split
import av
import numpy as np

from mmduet.evaluation import predict as predict_module
from mmduet.evaluation.benchmark import Question
from mmduet.evaluation.predict import ask_all, read_duration
from mmduet.trace import Query

FPS = 2.0
LIMIT = 1.15


def write_videos(folder: Path, count: int) -> list[Question]:
    """Clips of 2 s to 2 min, whose long ones come in a row, as in a data set sorted by film."""
    rng = random.Random(0)
    lengths = sorted(int(2 * 60 ** rng.random()) for _ in range(count))
    black = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
    for number, seconds in enumerate(lengths):
        with av.open(str(folder / f"{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=1)
            stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
            for place in range(seconds):
                black.pts = place
                container.mux(stream.encode(black))
            container.mux(stream.encode())
    order = sorted(range(count), key=lambda number: (number % 4, number))
    return [Question(f"q{number}", f"{number}.mp4", (Query(0.0, "What happens?"),)) for number in order]


def ask(questions: Sequence[Question], videos: Path, output: Path, seconds_a_frame: float) -> float:
    """Answer by waiting; the seconds that this process waited."""
    waited = 0.0

    def answer(question: Question, path: Path) -> dict[str, object]:
        nonlocal waited
        began, duration = time.perf_counter(), read_duration(path)
        time.sleep(duration * FPS * seconds_a_frame)
        waited += time.perf_counter() - began
        return {"question_id": question.question_id, "video_duration": duration, "model_response": [""]}

    ask_all(answer, questions, videos, output, stated={"settings": {}})
    return waited


def in_processes(count: int, work: Callable[[], float], folder: Path) -> list[float]:
    """The seconds of each of several processes that are forked from this one."""
    port = str(20_000 + random.randrange(20_000))
    children = []
    for rank in range(count):
        if child := os.fork():
            children.append(child)
            continue
        status = 1
        try:
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            (folder / f"seconds-{rank}").write_text(str(work()))
            status = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    if any(os.waitpid(child, 0)[1] for child in children):
        raise SystemExit("a process failed")
    return [float((folder / f"seconds-{rank}").read_text()) for rank in range(count)]


def by_count(questions: Sequence[Question], *_: object) -> Sequence[Question]:
    """Every n-th question: the baseline."""
    process = predict_module.this_process()
    return questions[process.process_index :: process.num_processes]


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--frame-ms", type=float, default=10.0, help="time that a frame takes [10]")
    options = parser.parse_args()
    ways = {"by count": by_count, "by length": predict_module.shared}
    ratios: dict[str, list[float]] = {way: [] for way in ways}
    same = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        questions = write_videos(folder, options.videos)
        for number in range(options.rounds):
            files = {}
            for way, share in ways.items():
                predict_module.shared = share
                output = files[way] = folder / f"{way}-{number}.jsonl"
                work = lambda: ask(questions, folder, output, options.frame_ms / 1e3)  # noqa: B023, E731
                seconds = in_processes(options.processes, work, folder)
                ratios[way].append(max(seconds) / mean(seconds))
                print(
                    f"{way:10} seconds {[round(value, 2) for value in seconds]} slowest/mean {ratios[way][-1]:.3f}",
                    flush=True,
                )
            output = files["alone"] = folder / f"one-{number}.jsonl"
            in_processes(1, lambda: ask(questions, folder, output, 0.0), folder)  # noqa: B023
            contents = {path.read_bytes() for path in files.values()}
            same &= len(contents) == 1
    result = {way: round(median(values), 3) for way, values in ratios.items()}
    print(json.dumps(result | {"files equal one process's": same, "asked": LIMIT}))
    raise SystemExit(not same or result["by length"] > LIMIT)


if __name__ == "__main__":
    main()
