"""The file that keeps judges' answers, so that nothing is asked twice."""

from pathlib import Path

from pydantic import BaseModel, StrictStr

from mmduet.errors import AnnotationError, FileError
from mmduet.evaluation.judges.rating import Judge, Texts, parse_json
from mmduet.files import LineFile, check_target, validated
from mmduet.files.messages import reason_of

FIELDS = ("judge", "question", "gold", "reply", "answer")  # of a line
FIRST = b'{"judge": "'  # the beginning of a line


class AnswerCache:
    """Judges' answers: a file of JSON lines to which answers are appended.

    A line that a killed run truncated is removed when the next answer is added.

    Args:
        path: The file; None: nothing is kept.

    Raises:
        DuetError: The file is of another kind.
        FileError: The file cannot be written, or another process writes it.
    """

    def __init__(self, path: str | Path | None):
        self.path = None if path is None else Path(path)
        self._answers: dict[tuple[str, Texts], str] = {}
        self._file: LineFile | None = None
        if self.path is not None:
            if self.path.is_file():
                self._read(self.path)
            check_target(self.path, ours=lambda path: bool(self._answers) or _is_cut(path.read_bytes()))

    def of(self, judge: Judge) -> dict[Texts, str]:
        """The answers of one judge, by texts."""
        return {texts: text for (identity, texts), text in self._answers.items() if identity == judge.identity}

    def open(self) -> None:
        """Reserve the file for this process until `close`."""
        if self.path is not None and self._file is None:
            self._file = LineFile(self.path)

    def add(self, judge: Judge, texts: Texts, text: str) -> None:
        """Keep an answer: one checked write of one complete line."""
        self._answers[judge.identity, texts] = text
        self.open()
        if self._file is not None:
            self._file.add(dict(zip(FIELDS, (judge.identity, *texts, text), strict=True)))

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self, path: Path) -> None:
        try:
            lines = path.read_bytes().split(b"\n")[:-1]  # without a truncated last line
        except OSError as error:
            raise FileError(f"{path} cannot be read: {reason_of(error)}: give another cache.") from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = validated(f"{path}, line {number}", _Kept, parse_json(line.decode()), place="field")
            except (ValueError, AnnotationError) as error:
                if _is_truncated(line):
                    continue
                raise AnnotationError(
                    f"{path}, line {number}: {error}; this is no file of judges' answers: give another cache."
                ) from None
            self._answers[entry.judge, (entry.question, entry.gold, entry.reply)] = entry.answer


def kept_answers(path: Path | None) -> str:
    """What is kept when a judge is stopped, in words."""
    if path is None:
        return "no answer was kept: with --cache FILE the same command can be resumed."
    return f"the judge's answers so far are in {path}, and the same command asks for the others."


class _Kept(BaseModel):
    """A line of the cache."""

    judge: StrictStr
    question: StrictStr
    gold: StrictStr
    reply: StrictStr
    answer: StrictStr


def _is_truncated(line: bytes) -> bool:
    """Whether a line is only the beginning of an entry."""
    return _is_cut(line) and not line.rstrip().endswith(b"}")


def _is_cut(content: bytes) -> bool:
    """Whether a file without a complete line begins like a cache."""
    return content[: len(FIRST)] == FIRST[: len(content)]
