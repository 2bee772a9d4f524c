"""A benchmark of your own: how long after an event does the model respond? No file of the package changes.

In the folder of this file:

    mmduet predict own_benchmark:FIRST_RESPONSE --references events.json --videos videos --output answers.jsonl
    mmduet evaluate own_benchmark:FIRST_RESPONSE --references events.json --predictions answers.jsonl --limit 5

events.json: [{"question_id": 1, "video": "a.mp4", "question": "Tell me when it rains.", "event": 3.5}, …], time in s.
"""

from typing import Annotated

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from pydantic import BaseModel, Field

from mmduet import Query
from mmduet.evaluation import Benchmark, Metric, Question, Settings
from mmduet.plots import curves_figure


class Event(BaseModel):
    """An entry of the test file."""

    question_id: int | str
    video: str
    question: str
    event: float = Field(ge=0)


def ask(item: Event) -> Question:
    return Question(item.question_id, item.video, (Query(0.0, item.question),))


def score(predictions, references, *, limit: Annotated[float, "Longest delay in time, s."] = 2.0) -> pd.DataFrame:
    rows = {}
    for name, item in references.items():
        if name in predictions:
            times = [r.time for r in predictions[name].trace.responses if r.time >= item.event]
            delay = min(times) - item.event if times else np.nan
            rows[name] = {"delay": delay, "in time": 100.0 * (delay <= limit)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("question_id")


def delay_figure(scores: pd.DataFrame) -> go.Figure:
    limits = np.linspace(0, 10, 21)
    shares = [100 * (scores["delay"] <= limit).mean() for limit in limits]
    return curves_figure({"in time": (limits, shares)}, x="longest delay, s", y="questions, %")


FIRST_RESPONSE = Benchmark(
    name="first_response",
    title="First response",
    item=Event,
    question=ask,
    settings=Settings(frame_fps=2.0, threshold=0.5),
    score=score,
    metrics={"delay": Metric("s", "lower"), "in time": Metric("%")},
)
