"""Whole-video baselines: a chat model answers a benchmark's questions, and states the times in its text.

MMDuet's paper (arXiv 2411.17991) compares with LLaVA-OneVision, trained on the same data in the text forms of TimeChat
(its LLaVA-OV-TC) and of VTimeLLM (its LLaVA-OV-VT). It publishes neither their weights nor their prompts.

From the paper and its published evaluation:

* the model sees the whole video, at the benchmark's frames per second, or uniformly where these are too many;
* TC writes ``12.0 - 20.5 seconds, text``, VT ``From 10 to 25, text`` in whole percent of the video, a line a segment;
* Charades-STA and QVHighlights ask for one span, YouCook2 and MAGQA for segments with texts.

From the published baseline in chunks of ProactiveVideoQA (arXiv 2507.09313): each chunk of the video is asked whether
the question can be answered from it, and if so, the question itself. A turn that comes later is put before the question
in its own chunk.

Our choice:

* the words of all prompts; *yes* counts as a word;
* frames enter as images, squares padded with black as MMDuet's, at most 32 at a time (the paper: 400 of fewer tokens);
  a sentence states their times;
* up to 512 new tokens;
* all turns of a conversation are one question about the whole video;
* a chunk that ends before the question is asked is left out; the others all count, also after the last reference;
* a chunk's answer is written as TimeChat writes a segment; where a span is asked for, the chunks that say yes are
  joined, the longest first.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from mmduet.errors import DuetError
from mmduet.evaluation.benchmark import Benchmark, Question
from mmduet.evaluation.benchmarks import find_benchmark
from mmduet.evaluation.chat_model import ChatModel
from mmduet.evaluation.predict import Outcome, ask_all, read_duration
from mmduet.evaluation.text_times import Segment
from mmduet.video import TOLERANCE, iter_frames, read_frames

# form of the times -> what is asked for -> prompt
PROMPTS = {
    "tc": {
        "span": "Find the segment of the video that the following text is about.\n{question}\n"
        "Answer with its start and end in seconds only, in the form: start - end seconds",
        "segments": "{question}\nAnswer for the whole video, a line for each segment, with its start and end in "
        "seconds, in the form: start - end seconds, text",
    },
    "vt": {
        "span": "Find the segment of the video that the following text is about.\n{question}\n"
        "Answer with its start and end in whole percent of the video only, in the form: From start to end",
        "segments": "{question}\nAnswer for the whole video, a line for each segment, with its start and end in whole "
        "percent of the video, in the form: From start to end, text",
    },
}
TIMES = "The video lasts {duration:.1f} seconds. It is shown as {frames} frames, one every {interval:.2f} seconds.\n"
# what is asked for -> the first question about a chunk
VERDICTS = {
    "span": "Does this part of a video show what the following text is about? Answer yes or no only.\n{question}",
    "segments": "Can the following question be answered from this part of a video? Answer yes or no only.\n{question}",
}
VERDICT_TOKENS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineSettings:
    """How a chat model is asked.

    Attributes:
        asks: What a question asks for: ``span``, or ``segments`` with texts.
        frame_fps: Frames a second, where `max_frames` allows; 0: such that `max_frames` cover what is shown.
        prompt: The form of times in the text: ``tc``, or ``vt``. None: in chunks.
        chunks: Length of a chunk, s. None: the whole video at once.
        max_frames: Maximum frames that the model sees at once.
        frame_size: Frames are squares of this many pixels a side, padded with black.
        max_new_tokens: Maximum tokens of an answer.

    Raises:
        DuetError: A setting is out of range.
    """

    asks: str
    frame_fps: float
    prompt: str | None = "tc"
    chunks: float | None = None
    max_frames: int = 32
    frame_size: int = 384
    max_new_tokens: int = 512

    def __post_init__(self) -> None:
        for name, value, known in (("asks", self.asks, VERDICTS), ("prompt", self.prompt or "tc", PROMPTS)):
            if value not in known:
                raise DuetError(f"{name}={value!r} is not known: use {' or '.join(known)}.")
        if (self.prompt is None) == (self.chunks is None):
            raise DuetError(f"prompt={self.prompt!r} and chunks={self.chunks}: give one of the two.")
        for name in ("max_frames", "frame_size", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise DuetError(f"{name}={getattr(self, name)}: must be at least 1.")
        if not (0 <= self.frame_fps < math.inf):
            raise DuetError(f"frame_fps={self.frame_fps}: must be a positive number, or 0.")
        if self.chunks is not None and not (0 < self.chunks < math.inf and self._shows(self.chunks)):
            raise DuetError(
                f"chunks={self.chunks} s at {self.frame_fps} frames a second: a chunk has at least one frame; give "
                "longer chunks, or a higher frame_fps."
            )

    def _shows(self, length: float) -> bool:
        """Whether every stretch of this length has a frame."""
        return not self.frame_fps or self.frame_fps * length > 1 - 1e-9

    def rate(self, length: float) -> float:
        """The frames per second of a stretch of video that is shown at once. length: s."""
        most = self.max_frames / length
        return min(self.frame_fps, most) if self.frame_fps else most


def settings_for(benchmark: str | Benchmark, **overrides: Any) -> BaselineSettings:
    """The settings for a benchmark, with those of `overrides` that are not None.

    A benchmark whose references have answers with texts asks for segments, any other for a span. Chunks take the place
    of the prompt.

    Raises:
        DuetError: The benchmark is not known, or a setting is out of range.
    """
    benchmark = find_benchmark(benchmark)
    given = {name: value for name, value in overrides.items() if value is not None}
    if "chunks" in given:
        given.setdefault("prompt", None)
    asks = "segments" if "answer" in benchmark.item.model_fields else "span"
    return BaselineSettings(**{"asks": asks, "frame_fps": benchmark.settings.frame_fps, **given})


def run(
    model: ChatModel,
    questions: Sequence[Question],
    videos: str | Path,
    output: str | Path,
    *,
    settings: BaselineSettings,
    identity: dict[str, Any] | None = None,
) -> Outcome:
    """Ask a chat model every question, and append one line for each to a prediction file.

    A line is ``{question_id, video_duration, model_response: [text]}``, the published form of whole-video baselines,
    which `read_predictions` and `mmduet evaluate` read. Errors, resumption and several processes are as in `predict`.

    Args:
        model: The model.
        questions: The questions.
        videos: The folder of the questions' videos.
        output: The prediction file to write or to resume.
        settings: How the questions are asked.
        identity: What else made the file (the model's name, say); stated with the settings.

    Raises:
        DuetError: The file was started with other settings.
        FileError: The output is no prediction file, another process writes it, or a line cannot be written.
    """
    respond = _whole_video if settings.chunks is None else _by_chunk

    def answer(question: Question, path: Path) -> dict[str, Any]:
        if not question.queries:
            raise DuetError("the question has no text: add a turn of the user to its conversation.")
        duration = read_duration(path)
        text = respond(model, question, path, duration, settings)
        return {"question_id": question.question_id, "video_duration": duration, "model_response": [text]}

    stated = {"settings": asdict(settings), "weights": model.weights, **(identity or {})}
    return ask_all(answer, questions, videos, output, stated=json.loads(json.dumps(stated)))


def _whole_video(model: ChatModel, question: Question, path: Path, duration: float, settings: BaselineSettings) -> str:
    fps = settings.rate(duration)
    frames = read_frames(
        path, fps=fps, size=settings.frame_size, max_frames=settings.max_frames, rounding="ceil"
    ).frames
    words = "\n".join(query.text for query in sorted(question.queries, key=lambda query: query.time))
    assert settings.prompt is not None
    prompt = TIMES + PROMPTS[settings.prompt][settings.asks]
    text = prompt.format(duration=duration, frames=len(frames), interval=1 / fps, question=words)
    return model.ask(frames, text, max_new_tokens=settings.max_new_tokens)


# chunks


def _by_chunk(model: ChatModel, question: Question, path: Path, duration: float, settings: BaselineSettings) -> str:
    answered = list(_answered(model, question, path, duration, settings))
    return "\n".join(map(_line, _joined(answered) if settings.asks == "span" else answered))


def _answered(
    model: ChatModel, question: Question, path: Path, duration: float, settings: BaselineSettings
) -> Iterator[Segment]:
    """The chunks that say yes, with their answers if segments are asked for."""
    assert settings.chunks is not None
    first, *later = sorted(question.queries, key=lambda query: query.time)
    verdict = VERDICTS[settings.asks].format(question=first.text)
    for index, frames in _chunks(path, settings.chunks, settings):
        start, end = index * settings.chunks, min((index + 1) * settings.chunks, duration)
        if end <= first.time:
            continue
        turns = "".join(f"{query.text}\n" for query in later if start < query.time <= end)
        if not _says_yes(model.ask(frames, turns + verdict, max_new_tokens=VERDICT_TOKENS)):
            continue
        if settings.asks == "span":
            yield Segment(start, end, "")
        elif text := model.ask(frames, turns + first.text, max_new_tokens=settings.max_new_tokens):
            yield Segment(start, end, " ".join(text.split()))


def _chunks(path: Path, length: float, settings: BaselineSettings) -> Iterator[tuple[int, torch.Tensor]]:
    """(index, frames: uint8 [n, 3, size, size]) of each chunk. length: s."""
    batches = iter_frames(path, fps=settings.rate(length), size=settings.frame_size, rounding="ceil")
    timed = (pair for batch in batches for pair in zip(batch.times, batch.frames, strict=True))
    for index, pairs in groupby(timed, key=lambda pair: int((pair[0] + TOLERANCE) / length)):
        yield index, torch.stack([frame for _, frame in pairs])


def _says_yes(text: str) -> bool:
    return re.search(r"\byes\b", text, re.IGNORECASE) is not None


def _joined(segments: list[Segment]) -> list[Segment]:
    """Neighbours as one segment, the longest first."""
    spans: list[Segment] = []
    for segment in segments:
        if spans and spans[-1].end == segment.start:
            spans[-1] = replace(spans[-1], end=segment.end)
        else:
            spans.append(segment)
    return sorted(spans, key=lambda span: span.start - span.end)


def _line(segment: Segment) -> str:
    """A segment in TimeChat's form."""
    times = f"{round(segment.start, 2)} - {round(segment.end, 2)} seconds"
    return f"{times}, {segment.text}" if segment.text else times
