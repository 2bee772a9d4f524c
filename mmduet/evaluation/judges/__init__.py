"""Judges: chat models that rate a reply against a reference answer, here or at an endpoint.

The public names stand here; each is imported when it is first asked for, so that this package loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmduet.evaluation.judges.answer_cache import AnswerCache
    from mmduet.evaluation.judges.batch import check_batch, read_batch, write_batch
    from mmduet.evaluation.judges.endpoint_judge import OPENAI_URL, EndpointJudge
    from mmduet.evaluation.judges.judge import Workload, errors, estimate, rate
    from mmduet.evaluation.judges.local import LocalJudge
    from mmduet.evaluation.judges.rating import Judge, Pair, Rating, prompt, read_rating

_MODULES = {
    "AnswerCache": "answer_cache",
    "EndpointJudge": "endpoint_judge",
    "Judge": "rating",
    "LocalJudge": "local",
    "OPENAI_URL": "endpoint_judge",
    "Pair": "rating",
    "Rating": "rating",
    "Workload": "judge",
    "check_batch": "batch",
    "errors": "judge",
    "estimate": "judge",
    "prompt": "rating",
    "rate": "judge",
    "read_batch": "batch",
    "read_rating": "rating",
    "write_batch": "batch",
}

__all__ = [
    "OPENAI_URL",
    "AnswerCache",
    "EndpointJudge",
    "Judge",
    "LocalJudge",
    "Pair",
    "Rating",
    "Workload",
    "check_batch",
    "errors",
    "estimate",
    "prompt",
    "rate",
    "read_batch",
    "read_rating",
    "write_batch",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
