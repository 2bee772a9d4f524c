"""Predictions: a benchmark's questions and a video folder -> one JSON line a question.

A line is written completely or not at all. The same command resumes a run that was killed, and asks again what
failed; the file is then that of an uninterrupted run. What made the file stands in FILE.settings.json; other settings
are refused.
"""

import hashlib
import json
import math
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from tqdm import tqdm

from mmduet.data.kinds.grounding import GROUNDING_TEMPLATES
from mmduet.errors import DuetError, VideoError
from mmduet.evaluation.prediction_file import begin, collect, part_path, put_in_order
from mmduet.evaluation.predictions import Prediction
from mmduet.evaluation.references import BENCHMARKS, HighlightQuery, read_asked
from mmduet.files import LineFile, inside
from mmduet.model.duet import HEAD_NAMES, DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor
from mmduet.policy import make_policy
from mmduet.streaming.session import DuetSession
from mmduet.trace import DuetTrace, Query
from mmduet.video import iter_frames, read_frames, read_metadata

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """One line to be. video: file in the video folder. queries: the user's turns."""

    question_id: str | int
    video: str
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """How questions are asked.

    frame_fps: frames a second; 0: such that `max_frames` cover the video. max_frames: of a video, at most.
    mode, threshold, heads: the policy (`mmduet.policy`); threshold None: nothing is ever said.
    The rest as in DuetSession.
    """

    frame_fps: float
    max_frames: int = 400
    mode: str = "threshold"
    threshold: float | None = None
    heads: tuple[str, ...] = ("informative",)
    protocol: str = "training"
    remove_assistant_turns: bool = False
    repetition_penalty: float | None = None
    max_new_tokens: int = 200

    def session(self, model: DuetForConditionalGeneration, processor: DuetProcessor) -> DuetSession:
        """A session with these settings; DuetError for one that is out of range."""
        if self.max_frames < 1:
            raise DuetError(f"max_frames={self.max_frames}: a video has at least one frame.")
        threshold = math.inf if self.threshold is None else self.threshold
        return DuetSession(
            model,
            processor,
            policy=make_policy(self.mode, threshold, heads=self.heads),
            frame_fps=self.frame_fps or 1.0,  # set anew for every video
            protocol=self.protocol,
            remove_assistant_turns=self.remove_assistant_turns,
            repetition_penalty=self.repetition_penalty,
            max_new_tokens=self.max_new_tokens,
        )


# as the published scripts have them, but for the protocol
DEFAULTS = {
    "youcook2": Settings(0.5, 200, mode="sum", threshold=2.0, remove_assistant_turns=True),
    "magqa": Settings(2.0, threshold=0.5, heads=("informative", "relevance"), remove_assistant_turns=True),
    "charades_sta": Settings(2.0),
    "qvhighlights": Settings(1.0),
}
assert set(DEFAULTS) == set(BENCHMARKS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """written: lines of the file. new: written by this run. failed: question -> error."""

    path: Path
    written: int
    new: int
    failed: dict[str, str]


def read_questions(path: str | Path) -> list[Question]:
    """Of a test file with conversations, or of QVHighlights' release, also its test split, whose query is asked at
    time 0.

    Raises AnnotationError naming the file and the entry.
    """
    return [
        _highlight_question(item) if isinstance(item, HighlightQuery) else _question(item) for item in read_asked(path)
    ]


def _question(item: Any) -> Question:
    queries = tuple(Query(turn.time, turn.content) for turn in item.conversation if turn.role == "user")
    return Question(item.question_id, item.video, queries)


def _highlight_question(item: Any) -> Question:
    return Question(item.qid, f"{item.vid}.mp4", (Query(0.0, GROUNDING_TEMPLATES[0].format(query=item.query)),))


def predict(
    model: DuetForConditionalGeneration,
    processor: DuetProcessor,
    questions: Sequence[Question],
    videos: str | Path,
    output: str | Path,
    *,
    settings: Settings,
    identity: dict[str, Any] | None = None,
) -> Outcome:
    """Ask every question of its video, in order, and append a line for each to `output`.

    videos: the folder of the questions' videos. identity: more of what made the file (the model's name, the test
    file), stated beside it. A question that cannot be answered becomes a line {question_id, error}: its video cannot
    be read or lies outside the folder, it is asked after the last frame, it holds the prompt's own tokens, or its
    scores are NaN or infinite. The run continues, and the next run on the same file asks it again.
    Under `accelerate launch` every process takes its share, and the shares are put together in the questions' order.

    Raises DuetError when `output` was made with other settings, and FileError when it is no prediction file, another
    process writes it, or a line cannot be written.
    """
    output, process = Path(output), this_process()
    session = settings.session(model, processor)
    stated = describe(model, settings, identity)
    names = [str(question.question_id) for question in questions]
    with ExitStack() as stack:
        file = on_main_process(lambda: stack.enter_context(begin(output, stated, names)))
        done = collect(output)
        todo = [question for question in questions if str(question.question_id) not in done]
        own = file or stack.enter_context(LineFile(part_path(output, process.process_index)))
        if process.num_processes > 1 and file:
            own = stack.enter_context(LineFile(part_path(output, 0)))
        process.wait_for_everyone()  # all have read the file
        shares = todo[process.process_index :: process.num_processes]
        for question in tqdm(shares, desc="predict", unit="question"):
            own.add(_ask(session, question, Path(videos), settings))
        process.wait_for_everyone()
        on_main_process(lambda: put_in_order(cast(LineFile, file), output, names))
        lines = collect(output)
    failed = {name: entry["error"] for name, entry in lines.items() if "error" in entry}
    return Outcome(output, len(lines), len(shares), failed)


def _ask(session: DuetSession, question: Question, videos: Path, settings: Settings) -> dict[str, Any]:
    """A line of the file."""
    try:
        return _watch(session, question, _video_file(videos, question.video), settings)
    except (DuetError, OSError, UnicodeError) as error:
        return {"question_id": question.question_id, "error": str(error)}


def _watch(session: DuetSession, question: Question, path: Path, settings: Settings) -> dict[str, Any]:
    for query in question.queries:
        query.text.encode()  # a lone surrogate is no text
    duration = read_metadata(path).duration
    if not 0 < duration < math.inf:
        raise VideoError(f"{path} lasts {duration} s: give a video with a duration.")
    session.frame_fps = settings.frame_fps or settings.max_frames / duration
    frames = iter_frames(
        path,
        fps=session.frame_fps,
        size=session.processor.frame.size,
        max_frames=settings.max_frames,
        rounding="ceil",
        batch_size=session.look_ahead.limit,
        ahead=session.kernels.decode_ahead,
        pin=session.kernels.pin,
    )
    trace = session.run(frames, question.queries)
    _check_trace(trace, question, duration)
    return trace.to_prediction(question.question_id, duration)


def _video_file(videos: Path, name: str) -> Path:
    """A question's video. Raises VideoError for one that is not in the folder, or no regular file."""
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
    """Raises DuetError when a query was never asked, or a score is NaN or infinite."""
    if len(trace.queries) < len(question.queries):
        time = sorted(query.time for query in question.queries)[len(trace.queries)]
        raise DuetError(
            f"the question at {time:g} s was never asked: the last frame watched is at {trace.times[-1]:g} s of a "
            f"video of {duration:g} s; correct its time, or raise max_frames."
        )
    bad = np.flatnonzero(~np.isfinite(trace.informative) | ~np.isfinite(trace.relevance))
    if len(bad):
        raise DuetError(
            f"the scores are NaN or infinite at {len(bad)} of {len(trace)} frames, the first at "
            f"{trace.times[bad[0]]:g} s: load the model in another dtype, or check its weights."
        )


def this_process() -> PartialState:
    """This process among those that `accelerate launch` started; without GPUs, too."""
    is_one_of_several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return PartialState(cpu=is_one_of_several and not torch.accelerator.is_available())


def on_main_process(action: Callable[[], T]) -> T | None:
    """What `action` gives in the main process, None in the others. They wait for it, and end if it fails."""
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
            raise SystemExit(1)  # the main process says why
    if failure is not None:
        raise failure
    return result


def frames_of(prediction: Prediction, video: str | Path, *, size: int = 96) -> torch.Tensor | None:
    """The frames that a prediction's scores belong to, uint8 [N, 3, size, size]; None without scores or the file."""
    times = prediction.trace.times
    if not len(times) or not Path(video).is_file():
        return None
    fps = 1 / (times[1] - times[0]) if len(times) > 1 else 1.0
    frames = read_frames(video, fps=fps, size=size, max_frames=len(times), rounding="ceil").frames
    return frames if len(frames) == len(times) else None


def describe(
    model: DuetForConditionalGeneration, settings: Settings, identity: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What makes a prediction file, as JSON holds it."""
    stated = {"settings": asdict(settings), "weights": weights_digest(model), **(identity or {})}
    return json.loads(json.dumps(stated))


def output_path(folder: str | Path, benchmark: str, description: dict[str, Any]) -> Path:
    """A file of its own for everything that makes predictions differ."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:8]
    return Path(folder) / f"{benchmark}-{digest}.jsonl"


def weights_digest(model: DuetForConditionalGeneration) -> str:
    """SHA-256 (its first 16 digits) of the projector's and the heads' weights: training changes all of them."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if "projector." in name or any(f"{head}." in name for head in HEAD_NAMES):
            digest.update(name.encode() + value.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def with_overrides(benchmark: str, **overrides: Any) -> Settings:
    """A benchmark's settings, with those that are not None in their place.

    Raises DuetError for an unknown benchmark.
    """
    if benchmark not in DEFAULTS:
        raise DuetError(f"benchmark={benchmark!r} is not known; known are {sorted(DEFAULTS)}.")
    return replace(DEFAULTS[benchmark], **{name: value for name, value in overrides.items() if value is not None})
