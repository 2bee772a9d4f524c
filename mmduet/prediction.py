"""Predictions: a benchmark's questions and a video folder -> one JSON line a question.

A line is written whole or not at all, and a run that was killed goes on after the last whole line. What made the file
stands beside it, in FILE.settings.json; going on with other settings is refused.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from tqdm import tqdm

from mmduet.data.conversations import GROUNDING_TEMPLATES
from mmduet.errors import DuetError, VideoError
from mmduet.evaluation.predictions import Prediction
from mmduet.evaluation.references import BENCHMARKS, HighlightQuery, read_asked
from mmduet.model import HEAD_NAMES, DuetForConditionalGeneration
from mmduet.policy import make_policy
from mmduet.processing import DuetProcessor
from mmduet.session import DuetSession
from mmduet.trace import Query
from mmduet.video import iter_frames, read_frames, read_metadata

PACKAGES = ("torch", "transformers", "peft", "decord", "mmduet-workbench")


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
    file), stated beside it. A video that cannot be read becomes a line {question_id, error}; the run goes on.
    Under `accelerate launch` every process takes its share, and the shares are put together in the questions' order.

    Raises DuetError when `output` was made with other settings.
    """
    output, process = Path(output), PartialState()
    session = settings.session(model, processor)
    stated = describe(model, settings, identity)
    if process.is_main_process:
        output.parent.mkdir(parents=True, exist_ok=True)
        _state(output, stated)
    process.wait_for_everyone()
    own = output if process.num_processes == 1 else _part(output, process.process_index)
    _drop_torn_line(own)
    done = set(_lines(output))
    shares = [question for i, question in enumerate(questions) if i % process.num_processes == process.process_index]
    missing = [question for question in shares if str(question.question_id) not in done]
    with own.open("ab", buffering=0) as file:
        bar = tqdm(missing, desc="predict", unit="question", initial=len(shares) - len(missing), total=len(shares))
        for question in bar:
            file.write(json.dumps(_ask(session, question, Path(videos), settings), ensure_ascii=False).encode() + b"\n")
    process.wait_for_everyone()
    if process.is_main_process:
        _merge(output, [str(question.question_id) for question in questions])
    process.wait_for_everyone()
    lines = _lines(output)
    failed = {name: entry["error"] for name, entry in lines.items() if "error" in entry}
    return Outcome(output, len(lines), len(missing), failed)


def _ask(session: DuetSession, question: Question, videos: Path, settings: Settings) -> dict[str, Any]:
    """A line of the file."""
    path = videos / question.video
    try:
        duration = read_metadata(path).duration
        session.frame_fps = settings.frame_fps or settings.max_frames / duration
        frames = iter_frames(
            path,
            fps=session.frame_fps,
            size=session.processor.frame.size,
            max_frames=settings.max_frames,
            rounding="ceil",
            batch_size=session.look_ahead.limit,
        )
        trace = session.run(frames, question.queries)
    except VideoError as error:
        return {"question_id": question.question_id, "error": str(error)}
    return trace.to_prediction(question.question_id, duration)


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


# files


def settings_path(output: Path) -> Path:
    """Where it is stated what made a prediction file."""
    return output.with_name(f"{output.name}.settings.json")


def _state(output: Path, stated: dict[str, Any]) -> None:
    """Write what makes the file, or make sure that it is what made it. Versions are stated, and may change."""
    path = settings_path(output)
    if path.is_file() and output.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        found.pop("versions", None)
        differing = [
            f"{name} was {found.get(name)!r}, is {stated.get(name)!r}"
            for name in sorted({*found, *stated})
            if found.get(name) != stated.get(name)
        ]
        if differing:
            raise DuetError(
                f"{output} was begun with other settings ({'; '.join(differing)}): go on with those, or give another "
                "output, or delete the file."
            )
        return
    _write_aside(path, [json.dumps(stated | {"versions": {name: version(name) for name in PACKAGES}}, indent=1)])


def _part(output: Path, index: int) -> Path:
    return output.with_name(f"{output.name}.part-{index}")


def _parts(output: Path) -> list[Path]:
    return sorted(output.parent.glob(f"{output.name}.part-*"))


def _drop_torn_line(path: Path) -> None:
    """Cut what follows the last line end: the line that a killed run was writing."""
    if path.is_file():
        with path.open("rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


def _whole_lines(output: Path) -> Iterator[str]:
    """Of the file and of the parts that other processes write."""
    for path in (output, *_parts(output)):
        if path.is_file():
            yield from (line for line in path.read_bytes().decode().splitlines(keepends=True) if line.endswith("\n"))


def _lines(output: Path) -> dict[str, dict[str, Any]]:
    """question -> its line."""
    entries = map(json.loads, _whole_lines(output))
    return {str(entry["question_id"]): entry for entry in entries}


def _merge(output: Path, names: Sequence[str]) -> None:
    """Put parts into the file, in the questions' order."""
    if parts := _parts(output):
        by_name = {str(json.loads(line)["question_id"]): line for line in _whole_lines(output)}
        ordered = [name for name in names if name in by_name] + [name for name in by_name if name not in set(names)]
        _write_aside(output, (by_name[name] for name in ordered))
        for part in parts:
            part.unlink()


def _write_aside(path: Path, texts: Iterable[str]) -> None:
    aside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.writelines(texts)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def with_overrides(benchmark: str, **overrides: Any) -> Settings:
    """A benchmark's settings, with those that are not None in their place.

    Raises DuetError for an unknown benchmark.
    """
    if benchmark not in DEFAULTS:
        raise DuetError(f"benchmark={benchmark!r} is not known; known are {sorted(DEFAULTS)}.")
    return replace(DEFAULTS[benchmark], **{name: value for name, value in overrides.items() if value is not None})
