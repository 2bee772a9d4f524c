"""Processes: those of `accelerate launch` or torchrun, and how they share the questions of one prediction.

The processes see one folder, that of the prediction file. A process takes a question by a file that only one process
can make. The questions with the longest videos are taken first, so no process is left with a long one at the end.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from mmduet.errors import DuetError
from mmduet.evaluation.benchmark import Question
from mmduet.files import claim, inside, remove
from mmduet.video import read_metadata

T = TypeVar("T")


def this_process() -> PartialState:
    """This process among those of `accelerate launch`, also without GPUs."""
    is_one_of_several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return PartialState(cpu=is_one_of_several and not torch.accelerator.is_available())


def own_device(device: str) -> str:
    """The device of this process: for ``auto`` each process of `accelerate launch` has its own."""
    return str(this_process().device) if device == "auto" else device


def on_main_process(action: Callable[[], T]) -> T | None:
    """Run an action in the main process alone; the others wait for it, and end if it fails.

    Returns:
        The action's result in the main process, None in the others.
    """
    process, failure = this_process(), None
    result: T | None = None
    if process.is_main_process:
        try:
            result = action()
        except DuetError as error:
            failure = error
    if process.num_processes > 1:
        stated = broadcast_object_list([failure is not None])
        if stated[0] and not process.is_main_process:
            raise SystemExit(1)  # the main process prints the error
    if failure is not None:
        raise failure
    return result


def shared(
    questions: Sequence[Question], videos: Path, output: Path, frames: Callable[[float], float]
) -> Iterable[Question]:
    """Iterate over the questions that this process takes. One process takes all, in their order.

    Every process calls this at the same time, with the same questions. It returns when no question is left.

    Args:
        questions: The questions to answer.
        videos: The folder of their videos.
        output: The prediction file, whose folder all processes see.
        frames: How much work a video is from its duration, s.
    """
    process = this_process()
    if process.num_processes == 1:
        return questions
    claims = claims_folder(output)
    on_main_process(lambda: remove(claims))  # of a killed run
    own = [_work(question, videos, frames) for question in questions[process.process_index :: process.num_processes]]
    places = range(process.process_index, len(questions), process.num_processes)
    work = dict(gather_object(list(zip(places, own, strict=True))))
    longest_first = sorted(range(len(questions)), key=lambda place: (-work[place], place))
    return (questions[place] for place in longest_first if claim(claims / str(place)))


def claims_folder(output: Path) -> Path:
    """The folder with a file for each question that a process has taken."""
    return output.with_name(f".{output.name}.claims")


def _work(question: Question, videos: Path, frames: Callable[[float], float]) -> float:
    """How many frames a question needs; 0 where its video cannot be read."""
    if question.turns:
        return len(question.images)
    try:
        path = inside(videos, question.video)
        return frames(read_metadata(path).duration) if path is not None else 0.0
    except (DuetError, OSError, ValueError, UnicodeError):
        return 0.0
