"""Predict: ask a benchmark's questions of their videos, and write one JSON line a question.

A line is written completely or not at all. The same command resumes a run that was killed, and asks failed questions
again; the file is then that of an uninterrupted run. ``FILE.settings.json`` states the settings that made the file;
other settings are refused.
"""

import hashlib
import json
import math
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from tqdm import tqdm

from mmduet.errors import DuetError, VideoError
from mmduet.evaluation.benchmark import Benchmark, Question, Settings, policy_of
from mmduet.evaluation.benchmarks import find_benchmark
from mmduet.evaluation.frame_input import read_images
from mmduet.evaluation.prediction_file import begin, collect, part_path, put_in_order
from mmduet.evaluation.processes import claims_folder, on_main_process, shared, this_process
from mmduet.files import LineFile, inside, remove
from mmduet.model.backbone import Backbone
from mmduet.model.processing import DuetProcessor
from mmduet.policy import Policy
from mmduet.streaming.session import DuetSession
from mmduet.system.identity import own_code
from mmduet.trace import DuetTrace
from mmduet.video import FrameBatch, iter_frames, read_metadata

NUMBERS = 256  # of a weight that tell whether it was trained


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of `predict`.

    Attributes:
        path: The prediction file.
        written: Lines of the file.
        new: Lines that this process wrote.
        failed: Question id -> error.
    """

    path: Path
    written: int
    new: int
    failed: dict[str, str]


def predict(
    model: Backbone,
    processor: DuetProcessor,
    questions: Sequence[Question],
    videos: str | Path,
    output: str | Path,
    *,
    settings: Settings,
    identity: dict[str, Any] | None = None,
) -> Outcome:
    """Ask every question of its video, and append one line for each to a prediction file.

    A question that cannot be answered becomes a line ``{question_id, error}``: its video cannot be read or is outside
    the folder, it is asked after the last frame, its text contains the prompt's own tokens, or its scores are NaN or
    infinite. The run continues, and the next run on the same file asks the question again. Under `accelerate launch`
    the processes share the questions, the longest videos first; the lines are then put into the questions' order.

    Args:
        model: The model.
        processor: Its processor.
        questions: The questions.
        videos: The folder of the questions' videos.
        output: The prediction file to write or to resume.
        settings: How the questions are asked.
        identity: What else made the file (the model's name, say); stated with the settings.

    Raises:
        DuetError: The file was started with other settings, or a setting is out of range.
        FileError: The output is no prediction file, another process writes it, or a line cannot be written.
    """
    session = session_for(model, processor, settings, policy_of(settings))
    if session.model.decides != "words" and any(question.turns for question in questions):
        raise DuetError(
            "the test file lists user turns with their frames, which only a model that decides in words takes: give "
            "the benchmark's own test file and videos."
        )
    return ask_all(
        lambda question, path: _watch(session, question, path, settings),
        questions,
        videos,
        output,
        stated=describe(model, settings, identity),
        frames=lambda duration: min(settings.max_frames, duration * (settings.frame_fps or math.inf)),
    )


def ask_all(
    answer: Callable[[Question, Path], dict[str, Any]],
    questions: Sequence[Question],
    videos: str | Path,
    output: str | Path,
    *,
    stated: dict[str, Any],
    frames: Callable[[float], float] = float,
) -> Outcome:
    """Answer every question, and append one line for each to a prediction file, as `predict` does.

    Args:
        answer: Gives a question's line from the question and its video. A DuetError, OSError or UnicodeError of it
            becomes the line's error.
        questions: The questions.
        videos: The folder of the questions' videos.
        output: The prediction file to write or to resume.
        stated: Everything that makes the file, in the form that JSON gives back. It has a key ``settings``.
        frames: How much work a video is from its duration, s. Several processes share the questions by it.

    Raises:
        DuetError: The file was started with other settings, or answers another question of the same id.
        FileError: The output is no prediction file, another process writes it, or a line cannot be written.
    """
    output, process = Path(output), this_process()
    asked = {str(question.question_id): stated_question(question, videos) for question in questions}
    with ExitStack() as stack:
        file = on_main_process(lambda: stack.enter_context(begin(output, stated, asked)))
        done = collect(output)
        todo = [question for question in questions if str(question.question_id) not in done]
        own = file or stack.enter_context(LineFile(part_path(output, process.process_index)))
        if process.num_processes > 1 and file:
            own = stack.enter_context(LineFile(part_path(output, 0)))
        process.wait_for_everyone()  # every process has read the file
        new = 0
        for question in tqdm(shared(todo, Path(videos), output, frames), desc="predict", unit="question"):
            own.add(_line(answer, question, Path(videos)) | {"asked": asked[str(question.question_id)]})
            new += 1
        process.wait_for_everyone()
        on_main_process(lambda: _finish(cast(LineFile, file), output, list(asked)))
        lines = collect(output)
    failed = {name: line["error"] for name, line in lines.items() if "error" in line}
    return Outcome(output, len(lines), new, failed)


def stated_question(question: Question, videos: str | Path) -> dict[str, Any]:
    """What a line states of its question, in the form that JSON gives back.

    Returns:
        Its video, or images, and turns; and ``bytes``, the size of the video or of all images, where they exist.
    """
    given = question.stated()
    with suppress(OSError, ValueError):
        names = question.images or (question.video,)
        given["bytes"] = sum((Path(videos) / name).stat().st_size for name in names)
    return given


def _finish(file: LineFile, output: Path, names: Sequence[str]) -> None:
    put_in_order(file, output, names)
    remove(claims_folder(output))


def _line(answer: Callable[[Question, Path], dict[str, Any]], question: Question, videos: Path) -> dict[str, Any]:
    try:
        return answer(question, videos if question.turns else _video_file(videos, question.video))
    except (DuetError, OSError, UnicodeError) as error:
        return {"question_id": question.question_id, "error": str(error)}


def session_for(
    model: Backbone,
    processor: DuetProcessor,
    settings: Settings,
    policy: Policy,
    *,
    context_frames: int | None = None,
) -> DuetSession:
    """A session with prediction settings and a policy. `predict` sets its frame rate again for every video.

    Raises:
        DuetError: A setting is out of range.
    """
    if settings.max_frames < 1:
        raise DuetError(f"max_frames={settings.max_frames}: a video has at least one frame.")
    return DuetSession(
        model,
        processor,
        policy=policy,
        frame_fps=settings.frame_fps or 1.0,
        protocol=settings.protocol,
        remove_assistant_turns=settings.remove_assistant_turns,
        repetition_penalty=settings.repetition_penalty,
        max_new_tokens=settings.max_new_tokens,
        frames_per_turn=settings.frames_per_turn,
        context_frames=context_frames,
    )


def _watch(session: DuetSession, question: Question, path: Path, settings: Settings) -> dict[str, Any]:
    if question.turns:
        return _watch_images(session, question, path)
    duration = read_duration(path)
    session.frame_fps = settings.frame_fps or settings.max_frames / duration
    frames = iter_frames(
        path,
        fps=session.frame_fps,
        size=session.processor.frame.fit,
        max_frames=settings.max_frames,
        rounding="ceil",
        batch_size=session.look_ahead.limit,
        ahead=session.kernels.decode_ahead,
        pin=session.kernels.pin,
    )
    total = min(settings.max_frames, math.ceil(duration * session.frame_fps))
    # a query that is not asked is an error here, and no warning as of `run`
    trace = DuetTrace.from_events(session.stream(_counted(frames, total, path.name), question.queries))
    _check_trace(trace, question, duration)
    return trace.to_prediction(question.question_id, duration)


def _counted(batches: Iterable[FrameBatch], total: int, name: str) -> Iterator[FrameBatch]:
    """Show in a terminal how many frames of a video were watched, and the time that is left for it."""
    with tqdm(desc=name, total=total, unit="frame", leave=False, disable=None) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch.times))


def _watch_images(session: DuetSession, question: Question, folder: Path) -> dict[str, Any]:
    duration = len(question.images) / session.frame_fps
    frames = read_images(question.images, folder, session.processor.frame.fit)
    trace = session.run(frames, turns=question.turns)
    _check_trace(trace, question, duration)
    return trace.to_prediction(question.question_id, max(duration, 1 / session.frame_fps))


def read_duration(path: Path) -> float:
    """The duration of a video, s.

    Raises:
        VideoError: The file cannot be read, or has no duration.
    """
    duration = read_metadata(path).duration
    if not 0 < duration < math.inf:
        raise VideoError(f"{path} lasts {duration} s: give a video with a duration.")
    return duration


def _video_file(videos: Path, name: str) -> Path:
    """The path of a question's video, which is a regular file in the folder."""
    path = inside(videos, name)
    if path is None:
        raise VideoError(f"video {name!r} leads out of {videos}: give its path in that folder.")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise VideoError(f"{path} does not exist: check the videos folder, and the question's video.") from None
    except (OSError, ValueError) as error:
        raise VideoError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if not stat.S_ISREG(mode):
        raise VideoError(f"{path} is no regular file: give a video file.")
    return path


def _check_trace(trace: DuetTrace, question: Question, duration: float) -> None:
    """Refuse a trace that lacks a query, or has NaN or infinite scores."""
    if len(trace.queries) < len(question.queries):
        time = sorted(query.time for query in question.queries)[len(trace.queries)]
        raise DuetError(
            f"the question at {time:g} s was never asked: the last frame watched is at {trace.times[-1]:g} s of a "
            f"video of {duration:g} s; correct its time, or raise max_frames."
        )
    check_finite_scores(trace)


def check_finite_scores(trace: DuetTrace) -> None:
    """Raise DuetError for a trace with NaN or infinite scores."""
    bad = np.flatnonzero(~np.isfinite([trace.curve(head) for head in trace.heads]).all(0))
    if len(bad):
        raise DuetError(
            f"the scores are NaN or infinite at {len(bad)} of {len(trace)} frames, the first at "
            f"{trace.times[bad[0]]:g} s: load the model in another dtype, or check its weights."
        )


def describe(model: Backbone, settings: Settings, identity: dict[str, Any] | None = None) -> dict[str, Any]:
    """Everything that makes a prediction file, in the form that JSON gives back."""
    stated = {"settings": settings.stated(), "weights": weights_digest(model), **(identity or {})}
    if code := own_code(type(model), type(policy_of(settings))):
        stated["code"] = code
    return cast(dict[str, Any], json.loads(json.dumps(stated)))


def output_path(folder: str | Path, benchmark: str, *described: Any) -> Path:
    """A prediction file of its own for everything that is `described`, in JSON: ``FOLDER/BENCHMARK-DIGEST.jsonl``."""
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:8]
    return Path(folder) / f"{benchmark}-{digest}.jsonl"


def weights_digest(model: Backbone) -> str:
    """SHA-256 (its first 16 digits) of the weights that are trained in full, which every training changes.

    Where there are none, it is of the first numbers of each weight that LoRA is merged into.
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.named_parameters()):
        if any(f"{part}." in name for part in model.trained_in_full):
            digest.update(name.encode() + value.detach().float().cpu().numpy().tobytes())
        elif not model.trained_in_full and re.match(model.lora_targets, name.removesuffix(".weight")):
            digest.update(name.encode() + value.detach().flatten()[:NUMBERS].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def with_overrides(benchmark: str | Benchmark, model: Backbone | None = None, **overrides: Any) -> Settings:
    """The settings of a benchmark for a model, with those of `overrides` that are not None.

    Args:
        benchmark: A benchmark, its name, or ``module:OBJECT``.
        model: The model. With heads, or for None, the settings are as published for the benchmark; in words, as
            published for MMDuet2.
        **overrides: Fields of `Settings`.

    Raises:
        DuetError: The benchmark is not known.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    return find_benchmark(benchmark).settings.overridden(getattr(model, "decides", "heads"), given)
