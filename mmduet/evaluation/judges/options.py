"""The options of commands that ask a judge, and the judge that they name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mmduet.errors import DuetError

if TYPE_CHECKING:
    from mmduet.evaluation.judges.endpoint_judge import EndpointJudge
    from mmduet.evaluation.judges.local import LocalJudge

JudgeName = Annotated[str, "A chat model: a folder or hub id, or its name at --url."]
Url = Annotated[str | None, "OpenAI-compatible endpoint; the key in OPENAI_API_KEY is sent to it, if that is set."]
Device = Annotated[str, "Device of a judge on this computer: auto (all GPUs), cpu, cuda, …"]
Dtype = Annotated[str, "Precision of a judge on this computer: auto, bfloat16, float32, …"]
Cache = Annotated[Path | None, "File that keeps the judge's answers; they are not asked again."]
WriteBatch = Annotated[Path | None, "Write batch requests to this file, and ask nothing."]
ReadBatch = Annotated[Path | None, "Take the ratings from a batch's output file."]
Prices = Annotated[tuple[float, float] | None, "Prices of a million input and output tokens."]
Yes = Annotated[bool, "Ask an endpoint without confirmation."]


def check_judge(judge: str, url: str | None, write_batch: Path | None, **answered: Path | None) -> None:
    """Refuse options of a judge that contradict each other.

    Args:
        judge: The judge's name, or "".
        url: Its endpoint.
        write_batch: File of requests to write.
        answered: The options whose files have a judge's answers already.

    Raises:
        DuetError: More than one judge is given, or requests or an endpoint without a judge's name.
    """
    given = [f"--{name.replace('_', '-')}" for name, path in answered.items() if path is not None]
    if write_batch is not None and not judge:
        raise DuetError(f"no judge: give --judge MODEL, whose name the requests of {write_batch} carry.")
    if write_batch is not None and given:
        raise DuetError(f"--write-batch asks nothing, and {given[0]} has answers: give one of them.")
    if len(judges := ["--judge"] * bool(judge) + given) > 1:
        raise DuetError(f"two judges, {' and '.join(judges)}: give one of them.")
    if url is not None and not judge:
        raise DuetError("--url is the endpoint of a judge: give --judge MODEL, too, or leave --url out.")


def named_judge(judge: str, url: str | None, *, device: str, dtype: str) -> "LocalJudge | EndpointJudge | None":
    """Return the judge at an endpoint, or, without `url`, on this computer; None if none is named."""
    from mmduet.evaluation import judges  # loads torch only for a judge on this computer

    if not judge:
        return None
    if url is not None:
        return judges.EndpointJudge(judge, base_url=url)
    return judges.LocalJudge(judge, device=device, dtype=dtype)
