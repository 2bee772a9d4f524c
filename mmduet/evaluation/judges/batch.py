"""Files of OpenAI's Batch API: requests to a judge, and its answers."""

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, StrictStr

from mmduet.errors import AnnotationError, DuetError
from mmduet.evaluation.judges.endpoint_judge import EndpointJudge
from mmduet.evaluation.judges.rating import GRADES, Asked, Rating, Rubric, Texts, read_completion, written
from mmduet.files import check_target, read_jsonl, validated, write_file

BATCH_URL = "/v1/chat/completions"
ReadId = Callable[[str], tuple[str, str]]  # a line's custom_id -> as the pairs write it; the question
_NAME = re.compile(r"(?s)(.*)-([0-9a-f]{8})")  # of a request: the pair's custom_id, and the digest of its texts


def write_batch(
    path: str | Path,
    pairs: Iterable[Asked],
    judge: EndpointJudge,
    *more: tuple[Iterable[Asked], EndpointJudge],
) -> int:
    """Write a request for each pair, and return their number. The Batch API accepts 50,000 in a file.

    A request's name is the pair's ``custom_id``, which has positions alone, then ``-`` and a digest of its texts.

    Args:
        path: The file.
        pairs: The pairs.
        judge: The judge.
        more: More pairs, each with the judge that is asked about them.
    """
    check_batch(path)
    lines = [
        {
            "custom_id": f"{pair.custom_id}-{_digest(pair.texts)}",
            "method": "POST",
            "url": BATCH_URL,
            "body": judge.body(pair.texts),
        }
        for pairs, judge in ((pairs, judge), *more)
        for pair in pairs
    ]
    write_file(path, "".join(f"{json.dumps(line)}\n" for line in lines))
    return len(lines)


def check_batch(path: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse to write batch requests over another file, before any work is done.

    Args:
        path: The file to write.
        inputs: The files that the command reads.

    Raises:
        FileError: The file is an input, or of another kind.
    """
    check_target(path, ours=lambda found: all("custom_id" in line for _, line in read_jsonl(found)), inputs=inputs)


def read_magqa_id(name: str) -> tuple[str, str]:
    """The name of a pair, as it is, and its question."""
    return name, name.rsplit("*", 2)[0]


def read_batch(
    path: str | Path, pairs: Sequence[Asked], *, read_id: ReadId = read_magqa_id, rubric: Rubric = GRADES
) -> dict[str, Rating]:
    """Read the ratings of a batch's output file or error file.

    Lines of questions that are not in `pairs` are ignored. If a pair has several lines, the last one with a grade
    counts. Names without a digest of the texts, of the published code or an earlier version, are taken with a warning.

    Args:
        path: The file.
        pairs: The pairs.
        read_id: A line's custom_id, without the digest -> the name as the pairs write it, and the question.
        rubric: How answers are read.

    Returns:
        ``custom_id`` -> rating.

    Raises:
        DuetError: A line is not of this form, or of one of these questions but of other replies. The message names the
            file and the line.
    """
    if not Path(path).exists():
        raise DuetError(f"{path} does not exist: fetch the batch's output file, or correct the path.")
    digests, questions = {pair.custom_id: _digest(pair.texts) for pair in pairs}, {pair.question_id for pair in pairs}
    ratings: dict[str, Rating] = {}
    unchecked = 0
    for number, entry in read_jsonl(path):
        where = f"{path}, line {number}"
        written_name, rating = _read_batch_line(where, entry, rubric)
        pair_name, digest = found.groups() if (found := _NAME.fullmatch(written_name)) else (written_name, None)
        name, question = read_id(pair_name)
        if name in digests and digest in (None, digests[name]):
            ratings[name] = rating if rating.value is not None else ratings.get(name, rating)
            unchecked += digest is None
        elif name in digests or question in questions:
            raise DuetError(
                f"{where}: {written_name!r} is no pair of these predictions: give the batch that was made for them."
            )
    if unchecked:
        warnings.warn(
            f"{path}: {unchecked} ratings name positions without a digest of the texts, as the published code and "
            "earlier versions do: make sure that the batch was made for these predictions.",
            stacklevel=2,
        )
    return ratings


def _digest(texts: Texts) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:8]


class _BatchLine(BaseModel):
    custom_id: StrictStr
    response: dict[str, Any] | None = None
    error: Any = None


def _read_batch_line(where: str, entry: Any, rubric: Rubric) -> tuple[str, Rating]:
    line = validated(where, _BatchLine, entry, place="field")
    if line.response is None and not line.error:
        raise AnnotationError(
            f"{where}: {line.custom_id!r} has neither a response nor an error, as in a file of requests: give the "
            "batch's output file."
        )
    if line.error:
        return line.custom_id, Rating(None, None, written(line.error))
    return line.custom_id, read_completion(line.response and line.response.get("body"), rubric.read)
