"""Trace file: a trace as JSON that reads back to an equal trace, with token ids and context length."""

import json
import math
from dataclasses import fields
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, Strict, StrictBool, StrictInt, StrictStr, model_validator

from mmduet.errors import AnnotationError
from mmduet.events import Query, Response
from mmduet.files import validated
from mmduet.formats.prediction_line import UNTIMED

Time = Annotated[float, Strict(), Field(ge=UNTIMED, allow_inf_nan=False)]
Scores = list[Annotated[float, Strict(), Field(ge=0, le=1)] | None]  # null is nan


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")
    time: Time
    text: StrictStr


class _Response(_Query):
    token_ids: list[StrictInt]


class _Trace(BaseModel):
    model_config = ConfigDict(extra="forbid")
    times: list[Time]
    informative: Scores | None
    relevance: Scores | None
    reply: Scores | None
    greedy: list[StrictBool] | None
    queries: list[_Query]
    responses: list[_Response]
    context_length: Annotated[int, Strict(), Field(ge=0)]

    @model_validator(mode="after")
    def _has_a_value_a_frame(self) -> "_Trace":
        for name in ("informative", "relevance", "reply", "greedy"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.times):
                raise ValueError(f"{name} has {len(values)} values, and times has {len(self.times)}")
        return self


def to_json(trace: Any) -> str:
    """Write the fields of a trace, a dataclass, as a JSON object; nan becomes null, and a turn an object."""
    return json.dumps({each.name: _plain(getattr(trace, each.name)) for each in fields(trace)}, allow_nan=False)


def equal(trace: Any, other: Any) -> bool:
    """Whether all fields of two traces are equal; nan equals nan."""
    return all(_equal(getattr(trace, each.name), getattr(other, each.name)) for each in fields(trace))


def _equal(value: Any, other: Any) -> bool:
    if isinstance(value, np.ndarray) or isinstance(other, np.ndarray):
        return type(value) is type(other) and np.array_equal(value, other, equal_nan=True)
    return bool(value == other)


def read_json(text: str) -> dict[str, Any]:
    """Read the text of `to_json` as the fields of a trace.

    Raises:
        AnnotationError: The text is no JSON, or not of this form.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"trace: no readable JSON: {error}: give a file that to_json wrote.") from error
    checked = validated("trace", _Trace, value, place="field")
    scores = {name: getattr(checked, name) for name in ("informative", "relevance", "reply")}
    return {
        "times": np.array(checked.times, dtype=float),
        **{name: None if column is None else np.array(column, dtype=float) for name, column in scores.items()},
        "greedy": None if checked.greedy is None else np.array(checked.greedy, dtype=bool),
        "queries": [Query(query.time, query.text) for query in checked.queries],
        "responses": [Response(said.time, said.text, tuple(said.token_ids)) for said in checked.responses],
        "context_length": checked.context_length,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value.tolist()]
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, Response):
        return {"time": value.time, "text": value.text, "token_ids": list(value.token_ids)}
    if isinstance(value, Query):
        return {"time": value.time, "text": value.text}
    return None if isinstance(value, float) and math.isnan(value) else value
