"""Table: a trace as CSV, a row a frame."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mmduet.events import Query, Response
from mmduet.policy import FloatArray


def to_csv(
    times: FloatArray, columns: Mapping[str, Any], queries: Iterable[Query], responses: Iterable[Response]
) -> str:
    """Write frames and turns as CSV (RFC 4180) with a header.

    A turn stands in the row of the first frame at its time or later; several are joined by line ends, in order of time.
    A turn after the last frame has a row of its own, without scores.

    Args:
        times: Time of each frame, s; float64 [N], ascending.
        columns: Name -> values [N] of each further column.
        queries: The user's turns.
        responses: The model's turns.
    """
    turns: dict[tuple[int, float], dict[str, list[str]]] = defaultdict(lambda: {"query": [], "response": []})
    given: Mapping[str, Iterable[Query | Response]] = {"query": queries, "response": responses}
    for name, said in given.items():
        for turn in sorted(said, key=lambda turn: turn.time):
            row = int(np.searchsorted(times, turn.time))
            turns[row, turn.time if row == len(times) else 0.0][name].append(turn.text)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["time", *columns, "query", "response"])
    values = [np.asarray(column).tolist() for column in columns.values()]
    for row, frame in enumerate(zip(times.tolist(), *values, strict=True)):
        writer.writerow([*frame, *_texts(turns.get((row, 0.0), {}))])
    for (row, time), late in sorted(turns.items(), key=lambda item: item[0]):
        if row == len(times):
            writer.writerow([time, *[""] * len(columns), *_texts(late)])
    return text.getvalue()


def _texts(said: Mapping[str, Sequence[str]]) -> list[str]:
    return ["\n".join(said.get(name, ())).encode(errors="replace").decode() for name in ("query", "response")]
