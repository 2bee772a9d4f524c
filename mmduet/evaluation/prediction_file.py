"""Prediction files: one JSON object a line, one line a question.

Reading accepts three forms and checks every line:

* this project's and the published form ``{question_id, video_duration, model_response_list, debug_data}``;
* the older published form (see `DuetTrace.from_prediction`);
* whole-video baselines ``{question_id, video_duration, model_response: [text]}``, whose text contains times
  (`mmduet.evaluation.text_times`).

Writing can be interrupted and resumed:

* ``FILE`` has one line a question, which also states what was ``asked``: its video and the user's turns;
* ``FILE.settings.json`` states the settings that made it;
* ``FILE.part-N`` holds the lines of process N of several, until they are put into ``FILE``.
"""

import math
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, Strict, StrictInt, StrictStr

from mmduet.errors import AnnotationError, DuetError
from mmduet.evaluation.text_times import Segment, parse_segments, unread_times
from mmduet.files import LineFile, check_target, read_json, read_jsonl, remove, validated, write_json
from mmduet.system.identity import check_same_settings, differences
from mmduet.system.packages import package_versions
from mmduet.trace import UNTIMED, DuetTrace, Response

LONGEST = 7 * 86_400.0  # s; a longer video is a mistake
SLACK = 2.0  # s past a video's end: durations are rounded
Line = dict[str, Any]


@dataclass(slots=True)
class Prediction:
    """What a model answered to one question.

    Attributes:
        duration: Duration of the video, s.
        trace: Scores and responses over time. A whole-video baseline has no scores, and one response at UNTIMED if
            its text has no times.
        segments: Segments of a whole-video baseline; None for a model that watches frame by frame.
        video: The video's file name, if the line states it.
        unread: Times in a baseline's text that cannot be read.
        asked: The question as the line states it (`Question.stated`, and ``bytes``); empty if it does not.
    """

    question_id: str
    duration: float
    trace: DuetTrace
    segments: list[Segment] | None = None
    video: str | None = None
    unread: tuple[str, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_timed(self) -> bool:
        """Whether the model itself chose the times of its responses. A whole-video baseline did not."""
        return self.segments is None and all(response.time != UNTIMED for response in self.trace.responses)


@dataclass(slots=True)
class PredictionFile:
    """A prediction file that was read.

    Attributes:
        by_id: Question id -> prediction.
        errors: Question id -> error, for lines that state one.
    """

    path: Path
    by_id: dict[str, Prediction] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def only(self, names: Container[str]) -> "PredictionFile":
        """The lines of these questions."""
        by_id = {name: prediction for name, prediction in self.by_id.items() if name in names}
        return PredictionFile(self.path, by_id, {name: e for name, e in self.errors.items() if name in names})


class _Head(BaseModel):
    """The field of every line."""

    question_id: StrictInt | StrictStr


class _Failed(_Head):
    error: StrictStr


class _Answer(_Head):
    """The fields of a line without an error. model_response: the text of a whole-video baseline."""

    video_duration: Annotated[float, Strict(), Field(gt=0, le=LONGEST, allow_inf_nan=False)]
    video: StrictStr | None = None
    asked: dict[str, Any] = {}
    model_response: StrictStr | list[StrictStr] = []


def read_predictions(path: str | Path) -> PredictionFile:
    """Read and check every line of a prediction file.

    Raises:
        DuetError: The file does not exist; a line is no prediction (the message names the file, line and field); a
            question has two lines; or lines of a whole-video baseline are mixed with others.
    """
    path = Path(path)
    return collect_predictions(path, read_jsonl(path) if path.exists() else ())


def collect_predictions(path: Path, lines: Iterable[tuple[int, Any]]) -> PredictionFile:
    """Check the lines of a prediction file. A benchmark whose own form differs makes them from its lines.

    Args:
        path: The file.
        lines: Number and content of each line.

    Raises:
        DuetError: As `read_predictions`.
    """
    if not path.exists():
        raise DuetError(f"{path} does not exist: make it with `mmduet predict`, or correct the path.")
    found = PredictionFile(path)
    kinds: dict[bool, int] = {}  # whether a line is of a baseline -> the first such line
    for number, entry in lines:
        where = f"{path}, line {number}"
        question_id = str(validated(where, _Head, entry, place="field").question_id)
        if question_id in found.by_id or question_id in found.errors:
            raise AnnotationError(f"{where}: question {question_id!r} has a prediction already; remove one of the two.")
        if "error" in entry:
            found.errors[question_id] = validated(where, _Failed, entry, place="field").error
            continue
        kinds.setdefault("model_response" in entry, number)
        if len(kinds) == 2:
            raise AnnotationError(
                f"{where}: a file holds lines of a whole-video baseline (model_response, as line {kinds[True]}) or "
                f"of a model that watches (model_response_list, as line {kinds[False]}): keep one kind."
            )
        try:
            found.by_id[question_id] = _read_prediction(question_id, entry)
        except AnnotationError as error:
            raise AnnotationError(f"{where}: {error}") from None
    return found


def _read_prediction(question_id: str, entry: Mapping[str, Any]) -> Prediction:
    where = f"prediction of question {question_id!r}"
    answer = validated(where, _Answer, entry, place="field")
    duration = answer.video_duration
    if "model_response" not in entry:
        trace = DuetTrace.from_prediction(entry)
        _check_end(where, trace, duration)
        return Prediction(question_id, duration, trace, video=answer.video, asked=answer.asked)
    if "model_response_list" in entry:
        raise AnnotationError(f"{where} has model_response and model_response_list: keep one of them.")
    texts = answer.model_response
    text = texts if isinstance(texts, str) else "\n".join(texts)
    segments, unread = parse_segments(text, duration), tuple(unread_times(text, duration))
    untimed = [] if any(segment.text for segment in segments) or not text else [Response(UNTIMED, text)]
    trace = DuetTrace.from_events(untimed)
    return Prediction(question_id, duration, trace, segments, answer.video, unread, answer.asked)


def _check_end(where: str, trace: DuetTrace, duration: float) -> None:
    ends = {"debug_data": trace.times[-1:].tolist(), "model_response_list": [r.time for r in trace.responses[-1:]]}
    for name, (end, *_) in ((name, times) for name, times in ends.items() if times):
        if end > duration + SLACK:
            raise AnnotationError(
                f"{where}: field {name} ends at {end:g} s, and video_duration is {duration:g} s: correct one of them."
            )


# writing


def settings_path(output: Path) -> Path:
    """The file that states the settings of a prediction file.

    Raises:
        DuetError: The path has no name, as "." has none.
    """
    if not output.name:
        raise DuetError(f"{output} is a folder: give a prediction file.")
    return output.with_name(f"{output.name}.settings.json")


def stated_settings(output: Path) -> dict[str, Any]:
    """What the file that states a prediction file's settings holds.

    Raises:
        DuetError: There is none, or it is damaged.
    """
    path = settings_path(output)
    stated: dict[str, Any] = validated(path, dict[str, Any], read_json(path))
    return stated


def part_path(output: Path, index: int) -> Path:
    """The file of process `index` of several."""
    return output.with_name(f"{output.name}.part-{index}")


def check_output(output: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse an output that `predict` did not write, before any work is done.

    Args:
        output: The prediction file to write or to resume.
        inputs: The files and folders that the command reads.

    Raises:
        FileError: The output is an input, or a file of another kind.
        AnnotationError: The output is a damaged prediction file; the message names the line.
    """
    output = Path(output)
    check_target(output, ours=lambda path: settings_path(output).is_file(), inputs=inputs)
    check_target(settings_path(output), ours=lambda path: "settings" in read_json(path), inputs=inputs)
    for path in (output, *_parts(output)):
        _lines(path)


def begin(output: Path, stated: dict[str, Any], asked: Mapping[str, Line]) -> LineFile:
    """Open a prediction file that this process alone writes, and put in what a killed run left in parts.

    Args:
        output: The prediction file.
        stated: The settings that make it.
        asked: Question id -> the question, as a line's field ``asked`` states it. Lines of questions that failed
            before are removed.

    Raises:
        DuetError: The file was started with other settings, or answers another question of the same id.
        FileError: The file is of another kind, or another process writes it.
    """
    check_output(output)
    _check_settings(output, stated)
    file = LineFile(output)
    try:
        for path in _parts(output):
            LineFile(path).close()  # refuses while a process of a killed run still writes
        lines = collect(output)
        _check_settings(output, stated)
        _check_questions(output, lines, asked)
        if not lines:
            write_json(settings_path(output), stated | {"versions": package_versions()})
        _rewrite(file, output, {n: line for n, line in lines.items() if n not in asked or not _has_failed(line)})
    except BaseException:
        file.close()
        raise
    return file


def put_in_order(file: LineFile, output: Path, names: Sequence[str]) -> None:
    """Put the parts into the file, and sort all lines into the order of the questions."""
    lines = collect(output)
    ordered = dict.fromkeys([*(name for name in names if name in lines), *lines])
    _rewrite(file, output, {name: lines[name] for name in ordered})


def collect(output: Path) -> dict[str, Line]:
    """Question id -> line, of the file and its parts. An answer is preferred to a failure."""
    found: dict[str, Line] = {}
    for path in (output, *_parts(output)):
        for line in _lines(path):
            name = str(line["question_id"])
            if name not in found or _has_failed(found[name]):
                found[name] = line
    return found


def _rewrite(file: LineFile, output: Path, lines: dict[str, Line]) -> None:
    """Replace the file's lines, and remove the parts."""
    if list(lines.values()) != _lines(output):
        file.rewrite(lines.values())
    for path in _parts(output):
        remove(path)


def _check_settings(output: Path, stated: dict[str, Any]) -> None:
    """Refuse a file whose lines were made with other settings. Versions of packages may differ."""
    if collect(output):
        started = stated_settings(output)
        started.pop("versions", None)
        check_same_settings(output, started, stated)


def _check_questions(output: Path, lines: Mapping[str, Line], asked: Mapping[str, Line]) -> None:
    """Refuse a file with an answer to another question, or of another video, that had the same id.

    A line that does not state its question, as earlier versions and the published code wrote it, is taken; so is one
    whose video is gone.
    """
    for name in (name for name in lines if name in asked and "asked" in lines[name]):
        where, now = f"{output}: question {name!r}", asked[name]
        stated: Line = validated(where, Line, lines[name]["asked"], place="field asked /")
        was = {field: value for field, value in stated.items() if field in now or field != "bytes"}
        if was != now and not _has_failed(lines[name]):
            raise DuetError(
                f"{output} answers another question with the id {name!r} ({'; '.join(differences(was, now))}): give "
                f"another output, or delete {output.name}."
            )


def _parts(output: Path) -> list[Path]:
    """The files of the processes of a run on several; also those of which only the lock exists."""
    pattern = re.compile(rf"\.?{re.escape(output.name)}\.part-(\d+)(\.lock)?")
    found = (pattern.fullmatch(path.name) for path in output.parent.glob("*.part-*"))
    return [part_path(output, index) for index in sorted({int(match[1]) for match in found if match})]


def _lines(path: Path) -> list[Line]:
    """The complete lines of a prediction file; none if the file does not exist."""
    if not path.is_file():
        return []
    lines = []
    for number, line in read_jsonl(path, cut=True):
        if not isinstance(line, dict) or not isinstance(line.get("question_id"), int | str):
            raise AnnotationError(f"{path}, line {number}: no question_id: remove the line, to have it asked again.")
        lines.append(line)
    return lines


def _has_failed(line: Line) -> bool:
    """Whether a line states an error, or has NaN or infinite scores, as earlier versions wrote them."""
    if "error" in line:
        return True
    frames = line.get("debug_data")
    values = [value for frame in frames if isinstance(frame, dict) for value in frame.values()] if frames else []
    return any(isinstance(value, float) and not math.isfinite(value) for value in values)
