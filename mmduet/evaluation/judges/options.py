"""The options of commands that ask a judge, and the judge that they name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    from mmduet.evaluation.judges.endpoint_judge import EndpointJudge
    from mmduet.evaluation.judges.local import LocalJudge

JudgeName = Annotated[str, "A chat model: a folder or hub id, or its name at --url."]
Url = Annotated[str | None, "OpenAI-compatible endpoint; its key is in OPENAI_API_KEY."]
Device = Annotated[str, "Device of a judge on this computer: auto (all GPUs), cpu, cuda, …"]
Dtype = Annotated[str, "Precision of a judge on this computer: auto, bfloat16, float32, …"]
Cache = Annotated[Path | None, "File that keeps the judge's answers; they are not asked again."]
WriteBatch = Annotated[Path | None, "Write batch requests to this file, and ask nothing."]
ReadBatch = Annotated[Path | None, "Take the ratings from a batch's output file."]
Prices = Annotated[tuple[float, float] | None, "Prices of a million input and output tokens."]
Yes = Annotated[bool, "Ask an endpoint without confirmation."]


def named_judge(judge: str, url: str | None, *, device: str, dtype: str) -> "LocalJudge | EndpointJudge":
    """Return the judge at an endpoint, or, without `url`, on this computer."""
    from mmduet.evaluation import judges  # loads torch only for a judge on this computer

    if url is not None:
        return judges.EndpointJudge(judge, base_url=url)
    return judges.LocalJudge(judge, device=device, dtype=dtype)
