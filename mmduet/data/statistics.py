"""What a mixture is made of: one row a conversation, and the silences between responses."""

from itertools import pairwise

import numpy as np
import pandas as pd

from mmduet.data.mixture import Example, MixtureDataset
from mmduet.model.losses import IGNORE
from mmduet.model.prompt import StreamTurn
from mmduet.trace import Query, Response


def mixture_frame(dataset: MixtureDataset) -> pd.DataFrame:
    """A row a conversation: kind, video, duration (s), frames, responses, and frames labelled 1 by each head."""
    return pd.DataFrame(_row(dataset, index) for index in range(len(dataset)))


def _row(dataset: MixtureDataset, index: int) -> dict:
    source, (_, informative, relevance, turns) = dataset.sources[index], example_times(dataset[index])
    return {
        "kind": source.kind,
        "video": source.video.name,
        "duration": source.duration,
        "frames": len(informative),
        "responses": sum(isinstance(turn, Response) for turn in turns),
        "informative": int((informative == 1).sum()),
        "relevant": int((relevance == 1).sum()),
    }


def example_times(example: Example) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Query | Response]]:
    """A conversation laid along time.

    Returns times [N], s; informative and relevance labels [N], 0, 1 or -100; and the turns, each at the time
    of the frame it comes after.
    """
    labels: dict[str, list[int]] = {"informative": [], "relevance": []}
    turns: list[Query | Response] = []
    first = example.conversation.first_frame
    for turn in example.conversation.turns:
        if isinstance(turn, StreamTurn):
            for head, column in labels.items():
                column += getattr(turn, head) or (IGNORE,) * turn.frames
            continue
        seen = len(labels["informative"])
        time = (first + max(seen - 1, 0)) / example.fps
        turns.append(Query(time, turn.text) if turn.role == "user" else Response(time, turn.text))
    informative, relevance = (np.array(column, dtype=np.int64) for column in labels.values())
    return (first + np.arange(len(informative))) / example.fps, informative, relevance, turns


def silences(dataset: MixtureDataset) -> np.ndarray:
    """Seconds [n] that each response of the mixture waits after the turn before it."""
    gaps: list[float] = []
    for index in range(len(dataset)):
        turns = example_times(dataset[index])[3]
        gaps += [turn.time - before.time for before, turn in pairwise(turns) if isinstance(turn, Response)]
    return np.array(gaps)
